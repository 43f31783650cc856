// Command go is an ordinary client of the service orders. It knows the service's base
// URL and nothing of a proxy; HTTP_PROXY is net/http's business.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	base := os.Args[1]
	report("get")(http.Get(base + "/api/orders"))
	report("post")(http.Post(base+"/api/orders", "application/json", strings.NewReader(`{"item": "tea"}`)))

	body, upload := io.Pipe() // of a length that nobody knows: it goes in chunks
	go func() {
		for _, piece := range []string{"one ", "two ", "three"} {
			_, _ = io.WriteString(upload, piece)
		}
		_ = upload.Close()
	}()
	req, err := http.NewRequest(http.MethodPut, base+"/items/7", body)
	if err != nil {
		fail("upload", err)
	}
	report("upload")(http.DefaultClient.Do(req))
	report("again")(http.Get(base + "/api/orders"))
}

// report prints what became of a request.
func report(name string) func(*http.Response, error) {
	return func(resp *http.Response, err error) {
		if err != nil {
			fail(name, err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			fail(name, err)
		}
		_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"case": name, "status": resp.StatusCode, "body": string(text)})
	}
}

func fail(name string, err error) {
	fmt.Fprintln(os.Stderr, name+":", err)
	os.Exit(1)
}
