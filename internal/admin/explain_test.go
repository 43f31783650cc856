package admin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"outrider/internal/admin"
	"outrider/internal/explain"
	"outrider/internal/why"
)

// asking is an admin port that tells what it was asked.
func asking(asked *explain.Question) http.Handler {
	cfg := full()
	cfg.Explain = func(_ context.Context, q explain.Question) (explain.Answer, error) {
		*asked = q
		if q.URL == "/wrong" {
			return explain.Answer{}, errors.New("a mistake")
		}
		return explain.Answer{Reports: []explain.Report{{Method: q.Method, Verdict: "would go to orders"}}}, nil
	}
	cfg.Why = func(_ context.Context, id string) why.Answer {
		if id != "known" {
			return why.NewAnswer(id, nil)
		}
		return why.NewAnswer(id, []why.Record{{ID: id, Who: "ingress", Status: 502, Code: "reset", Error: "EOF"}})
	}
	return admin.New(cfg)
}

func post(h http.Handler, path, body string, edit func(*http.Request)) *httptest.ResponseRecorder {
	return ask(h, http.MethodPost, path, func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(body))
		if edit != nil {
			edit(r)
		}
	})
}

func TestExplain(t *testing.T) {
	var asked explain.Question
	h := asking(&asked)
	w := ask(h, http.MethodGet, "/explain?method=POST&url=http://a/b&header=A:+1&header=B:+2&client=192.0.2.1&direction=inbound", nil)
	want := explain.Question{Method: "POST", URL: "http://a/b", Headers: []string{"A: 1", "B: 2"}, Client: "192.0.2.1", Direction: "inbound"}
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "would go to orders") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("GET: %d %s", w.Code, w.Body)
	}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %+v, want %+v", asked, want)
	}
	w = post(h, "/explain", `{"method":"GET","url":"/x","headers":["`+strings.Repeat("a", 100<<10)+`: 1"]}`, header("Accept", "application/json"))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"verdict": "would go to orders"`) || asked.URL != "/x" {
		t.Errorf("POST: %d %s", w.Code, w.Body)
	}
	isProblem(t, ask(h, http.MethodGet, "/explain", nil), http.StatusBadRequest, "which url")
	isProblem(t, ask(h, http.MethodGet, "/explain?url=/wrong", nil), http.StatusUnprocessableEntity, "a mistake")
	isProblem(t, post(h, "/explain", `{"uri":"/x"}`, nil), http.StatusBadRequest, "unknown field")
	isProblem(t, post(h, "/explain", `{"url":"`+strings.Repeat("a", 256<<10)+`"}`, nil), http.StatusRequestEntityTooLarge, "too large")
	isProblem(t, ask(h, http.MethodPut, "/explain", nil), http.StatusMethodNotAllowed, "not allowed")
}

func TestWhy(t *testing.T) {
	h := asking(new(explain.Question))
	w := ask(h, http.MethodGet, "/why?id=known", nil)
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), "request known failed at the ingress: reset\n  EOF\n") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = ask(h, http.MethodGet, "/why?id=known", header("Accept", "application/json"))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"code": "reset"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w = ask(h, http.MethodGet, "/why?id=nobody", nil); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "nothing is known") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	isProblem(t, ask(h, http.MethodGet, "/why", nil), http.StatusBadRequest, "X-Request-ID")
}

// What tells of requests is guarded as all else is.
func TestExplainAndWhyAreGuarded(t *testing.T) {
	var asked explain.Question
	h := asking(&asked)
	for _, path := range []string{"/explain?url=/x", "/why?id=known"} {
		isProblem(t, ask(h, http.MethodGet, path, func(r *http.Request) { r.Host = "evil.example" }), http.StatusForbidden, "only to localhost")
		isProblem(t, ask(h, http.MethodGet, path, header("Sec-Fetch-Site", "cross-site")), http.StatusForbidden, "other sites")
	}
	isProblem(t, post(h, "/explain", `{"url":"/x"}`, header("Origin", "http://evil.example")), http.StatusForbidden, "other sites")
	if asked.URL != "" {
		t.Errorf("a stranger asked %+v", asked)
	}
	cfg := full()
	cfg.Token = func() string { return "t" }
	cfg.Why = func(context.Context, string) why.Answer { t.Error("asked without a token"); return why.Answer{} }
	isProblem(t, ask(admin.New(cfg), http.MethodGet, "/why?id=known", nil), http.StatusUnauthorized, "token")
}
