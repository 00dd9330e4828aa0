// Somebody's server in Go, with an installed bpos: as examples/authorize.c, without the answer.
package main

import (
	"fmt"
	"log"
	"os"

	bpos "github.com/brotherpos/bpos/bindings/go"
)

func main() {
	registry, err := bpos.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer registry.Close()
	decision := registry.Authorize(bpos.Request{
		APIKey: os.Getenv("API_KEY"), Store: os.Args[2], Method: os.Args[3], Target: os.Args[4],
	})
	fmt.Println("HTTP/1.1", decision.Status())
}
