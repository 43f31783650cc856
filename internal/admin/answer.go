package admin

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// problem answers with a problem document (RFC 9457). sentence is for people.
func problem(w http.ResponseWriter, status int, sentence string) {
	body := struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Error  string `json:"error"`
	}{http.StatusText(status), status, sentence}
	write(w, status, "application/problem+json", body)
}

// answer answers with v as JSON.
func answer(w http.ResponseWriter, status int, v any) { write(w, status, "application/json", v) }

func write(w http.ResponseWriter, status int, kind string, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil { // only what the wiring hands in can fail, and it is told
		problem(w, http.StatusInternalServerError, "The answer could not be encoded: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that left is no fault of ours
}

func notFound(w http.ResponseWriter, r *http.Request) {
	problem(w, http.StatusNotFound, "There is nothing at "+quote(r.URL.Path)+".")
}

// wantsJSON reports whether the client asks for JSON by name.
func wantsJSON(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "application/json")
}

// quote returns what a client sent, fit for a sentence.
func quote(s string) string {
	const limit = 100
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strconv.Quote(s)
}
