// Keeps 32 MiB of Go's heap, tells Go's version, and waits for its input to end.
package main

import (
	"fmt"
	"os"
	"runtime"
)

var kept [][]byte

func main() {
	for i := 0; i < 4096; i++ {
		block := make([]byte, 8192)
		for k := range block {
			block[k] = 1
		}
		kept = append(kept, block)
	}
	fmt.Println(runtime.Version())
	os.Stdin.Read(make([]byte, 1))
	runtime.KeepAlive(kept)
}
