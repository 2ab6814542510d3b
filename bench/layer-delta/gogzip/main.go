// Compresses standard input as container tools written in Go do: compress/gzip at its default level, no name, no time.
package main

import (
	"compress/gzip"
	"io"
	"log"
	"os"
)

func main() {
	writer := gzip.NewWriter(os.Stdout)
	if _, err := io.Copy(writer, os.Stdin); err != nil {
		log.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		log.Fatal(err)
	}
}
