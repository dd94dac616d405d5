// Package main runs FerretDB, a MongoDB server over SQLite, for the tests.
//
// It listens on a free port of 127.0.0.1, prints its URL as the first line of standard output, and
// ends when its standard input closes: with whoever started it, however that ended.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	data := flag.String("data-dir", "", "an existing folder for the databases")
	flag.Parse()

	if err := run(*data); err != nil {
		log.Fatal(err)
	}
}

func run(data string) error {
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Handler:   "sqlite",
		SQLiteURL: "file:" + data + "/",
	})
	if err != nil {
		return err
	}

	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()

	fmt.Println(server.MongoDBURI())

	return server.Run(ctx)
}
