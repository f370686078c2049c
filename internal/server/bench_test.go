package server_test

import (
	"net/http/httptest"
	"testing"

	"berth/internal/servertest"
)

// What policies cost a GET of a manifest: none of them, some, and some that read
// the tags of images.
func BenchmarkManifestGet(b *testing.B) {
	s := servertest.Start(b, servertest.Options{})
	s.CreateRepository(b, "app")
	s.Login(b).Push(b, "app", "v1", servertest.NewImage(1, 10))
	const pull = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:GetAuthorizationToken","ecr:BatchGetImage"],"Resource":"*"`
	const tags = pull + `},{"Effect":"Deny","Action":"ecr:BatchGetImage","Resource":"*","Condition":{"ForAnyValue:StringLike":{"ecr:ImageTag":"dev-*"}}}]}`
	for _, bb := range []struct {
		name string
		c    *servertest.Client
	}{
		{"root", s.Login(b)},
		{"user", s.LoginAs(b, s.CreateUserOf(b, s.AWS(), "user", pull+`}]}`))},
		{"user with a rule about tags", s.LoginAs(b, s.CreateUserOf(b, s.AWS(), "tags", tags))},
	} {
		b.Run(bb.name, func(b *testing.B) {
			h := s.Server().Handler()
			for b.Loop() {
				r := httptest.NewRequest("GET", manifestPath("app", "v1"), nil)
				r.SetBasicAuth(bb.c.User, bb.c.Pass)
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != 200 {
					b.Fatal(w.Code, w.Body)
				}
				s.Decisions()
			}
		})
	}
}
