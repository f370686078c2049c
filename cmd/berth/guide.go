package main

import (
	"fmt"
	"io"
	"os"

	"berth/internal/config"
	"berth/internal/server"
)

// guide prints what to type next.
func guide(w io.Writer, c *config.Config, a server.Address) {
	env := os.Args[0] + " env"
	if c.Data != "data" {
		env += " --data " + c.Data
	}
	fmt.Fprintf(w, `
Berth is serving at %[1]s. In another terminal, type

  eval "$(%[2]s)"
  aws ecr create-repository --repository-name hello
  aws ecr get-login-password | docker login --username AWS --password-stdin %[3]s
  docker tag hello-world %[3]s/hello        # or any other image that you have
  docker push %[3]s/hello
  docker pull %[3]s/hello

`, a.Endpoint, env, a.Registry)
}
