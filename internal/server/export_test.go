package server

import (
	"maps"
	"slices"
)

// ExtensionPaths are the paths of the signed operations that ECR does not have.
func (s *Server) ExtensionPaths() []string {
	return slices.Sorted(maps.Keys(s.extensions(nil)))
}
