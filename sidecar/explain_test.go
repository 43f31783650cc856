package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"outrider/internal/explain"
)

// command runs a command line and returns what it printed.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestExplainAndWhyAskTheAdminPort(t *testing.T) {
	var asked explain.Question
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/explain":
			body, _ := io.ReadAll(r.Body)
			if err := json.Unmarshal(body, &asked); err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, "explained as "+r.Header.Get("Accept"))
		case r.URL.Query().Get("id") == "a b":
			_, _ = io.WriteString(w, "known")
		case r.URL.Query().Get("id") == "wrong":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"It is wrong."}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "nothing is known\n")
		}
	}))
	defer admin.Close()
	at := strings.TrimPrefix(admin.URL, "http://")
	got, err := command(t, "explain", "POST", "http://a/b", "-H", "A: 1,2", "-H", "B: 3", "--client", "192.0.2.1", "--inbound", "--json", "--admin", at)
	if err != nil || got != "explained as application/json" {
		t.Errorf("%q, %v", got, err)
	}
	want := explain.Question{Method: "POST", URL: "http://a/b", Headers: []string{"A: 1,2", "B: 3"}, Client: "192.0.2.1", Direction: "inbound"}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %+v, want %+v", asked, want)
	}
	if got, err = command(t, "why", "a b", "--admin", at); err != nil || got != "known" {
		t.Errorf("%q, %v", got, err)
	}
	for id, want := range map[string]string{"nobody": "nothing is known", "wrong": "It is wrong."} {
		if _, err = command(t, "why", id, "--admin", at); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", id, err, want)
		}
	}
}

func TestExplainAndWhyRefuseWrongCommandLines(t *testing.T) {
	for _, args := range [][]string{
		{"explain"}, {"explain", "GET"}, {"explain", "GET", "/", "more"}, {"explain", "GET", "/", "--inbound", "--outbound"}, {"why"}, {"why", "a", "b"},
		{"why", "a", "--token-file", "/nowhere"},
	} {
		_, err := command(t, args...)
		var usage usageError
		if !errors.As(err, &usage) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
