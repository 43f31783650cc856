package admin_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"outrider/internal/admin"
)

func TestConfigIsShownWithoutSecrets(t *testing.T) {
	type settings struct {
		Token     string
		TokenFile string
		MaxBytes  int64
		APIKey    string `json:"api_key"`
	}
	tests := []struct {
		name string
		in   any
		want string // as compact JSON
	}{
		{"under its name", map[string]string{"token": "hush", "client-secret": "hush", "Password": "hush"},
			`{"Password":"[redacted]","client-secret":"[redacted]","token":"[redacted]"}`},
		{"a field", settings{Token: "hush", TokenFile: "/run/token", MaxBytes: 1 << 60, APIKey: "hush"},
			`{"MaxBytes":1152921504606846976,"Token":"[redacted]","TokenFile":"/run/token","api_key":"[redacted]"}`},
		{"none is no secret", map[string]string{"token": ""}, `{"token":""}`},
		{"headers", map[string]any{"set": map[string]string{"Authorization": "Basic hush", "Set-Cookie": "hush", "X-Env": "prod"}},
			`{"set":{"Authorization":"[redacted]","Set-Cookie":"[redacted]","X-Env":"prod"}}`},
		{"a list", map[string][]string{"tokens": {"hush", "hush"}}, `{"tokens":["[redacted]","[redacted]"]}`},
		{"no secret of its own", map[string]any{"allow_credentials": true, "token_ttl": 10, "token-service": map[string]string{"url": "http://t:1"}},
			`{"allow_credentials":true,"token-service":{"url":"http://t:1"},"token_ttl":10}`},
		{"in a URL", []string{"redis://user:hush@redis:6379/0", "https://hush@vault/x", "http://plain/@x", "a@b"},
			`["redis://redacted@redis:6379/0","https://redacted@vault/x","http://plain/@x","a@b"]`},
		{"in what is no URL", []string{"redis://user:hu%zzsh@redis"}, `["[redacted]"]`},
		{"nothing", nil, `null`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := full()
			c.Config = func() any { return tt.in }
			w := ask(admin.New(c), "GET", "/config", nil)
			var got bytes.Buffer
			if err := json.Compact(&got, bytes.TrimSpace(w.Body.Bytes())); err != nil {
				t.Fatal(err)
			}
			if got.String() != tt.want {
				t.Errorf("got  %s\nwant %s", &got, tt.want)
			}
		})
	}
}

func TestConfigThatCannotBeShown(t *testing.T) {
	c := full()
	var logged bytes.Buffer
	c.Log = slog.New(slog.NewTextHandler(&logged, nil))
	c.Config = func() any { return make(chan int) }
	isProblem(t, ask(admin.New(c), "GET", "/config", nil), http.StatusInternalServerError, "could not be shown")
	if !strings.Contains(logged.String(), "chan int") {
		t.Errorf("logged %q", &logged)
	}
}

// Masking what was handed in must not change it: others read it too.
func TestShowingLeavesTheConfigurationAlone(t *testing.T) {
	shared := map[string]string{"token": "hush"}
	c := full()
	c.Config = func() any { return shared }
	ask(admin.New(c), "GET", "/config", nil)
	if shared["token"] != "hush" {
		t.Errorf("the configuration now has %q", shared["token"])
	}
}
