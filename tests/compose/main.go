// Package main reads a compose file as docker compose does, and prints what it means as JSON.
//
// It fails for what the compose specification does not know, for variables that must be set and are not, and
// for services, volumes and dependencies that do not exist.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	log.SetFlags(0)

	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(files []string) error {
	options, err := cli.NewProjectOptions(files, cli.WithOsEnv, cli.WithEnvFiles(), cli.WithDotEnv)
	if err != nil {
		return err
	}

	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}

	return json.NewEncoder(os.Stdout).Encode(project)
}
