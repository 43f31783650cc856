package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"outrider/internal/app"
	"outrider/internal/config"
)

func TestEveryConfigurationIsMadeForEveryCase(t *testing.T) {
	for _, c := range allCases {
		for _, p := range peers {
			dir := t.TempDir()
			if err := writeCerts(dir); err != nil {
				t.Fatal(err)
			}
			s := setting{
				benchCase: c, Port: 8080, Cores: 1, Admin: "127.0.0.1:15000", Dir: dir, Scheme: "http",
				Origins: []string{"127.0.0.1:3001", "127.0.0.1:3002"}, Validate: "127.0.0.1:3001", ServerName: serverName, Token: token,
			}
			if c.MTLSOut {
				s.Scheme = "https"
			}
			if err := p.configure(s); err != nil {
				t.Fatalf("%s for %s: %v", p.name, c.Name, err)
			}
			for _, name := range p.files {
				b, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil || len(b) == 0 || strings.Contains(string(b), "<no value>") {
					t.Errorf("%s for %s: %v, %q", p.name, c.Name, err, b)
				}
			}
			if p.name == ours {
				checkOurs(t, c, filepath.Join(dir, p.files[0]))
			}
		}
	}
}

// checkOurs has the proxy itself look at what it is to run with.
func checkOurs(t *testing.T, c benchCase, file string) {
	cfg, err := config.Load(config.Options{File: file, Mode: config.Ingress})
	if err == nil {
		err = app.Check(cfg)
	}
	if err != nil {
		t.Errorf("for %s: %v", c.Name, err)
	}
}

func TestUnknownAndMissingProxiesAreNamed(t *testing.T) {
	for _, c := range []struct{ list, sidecar, want string }{
		{"outrider", "no/such/sidecar", "make build"},
		{"squid", "", "no such proxy"},
	} {
		if _, err := installed(c.list, c.sidecar); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, and should say %q", c.list, err, c.want)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := installed("nginx,caddy", ""); err == nil || !strings.Contains(err.Error(), "apt-get install -y --no-install-recommends nginx caddy") {
		t.Errorf("without any: %v", err)
	}
	if found, err := installed("traefik", ""); err == nil {
		t.Errorf("traefik was asked for, and is not there: %v", found)
	}
}

func TestCasesByName(t *testing.T) {
	got, err := casesOf("post,c1")
	if err != nil || len(got) != 2 || got[0].Name != "post" || got[1].Name != "c1" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := casesOf("c1,c3"); err == nil || !strings.Contains(err.Error(), `no case "c3"`) {
		t.Errorf("the error is %v", err)
	}
}
