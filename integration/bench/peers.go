package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// ours is the proxy that this repository makes.
const ours = "outrider"

// peer is a kind of proxy, and how it is started.
type peer struct {
	name    string
	command string   // looked up on PATH
	files   []string // made from configs
	version []string // arguments that make it say its version
	args    []string // {} stands for the directory of the files
	opt     bool     // left out where it is not installed
}

var peers = []peer{
	{name: ours, command: "bin/sidecar", files: []string{"outrider.yml"}, version: []string{"--version"}, args: []string{"ingress", "--config", "{}/outrider.yml"}},
	{name: "nginx", command: "nginx", files: []string{"nginx.conf"}, version: []string{"-v"}, args: []string{"-e", "stderr", "-p", "{}", "-c", "{}/nginx.conf"}},
	{name: "haproxy", command: "haproxy", files: []string{"haproxy.cfg"}, version: []string{"-v"}, args: []string{"-db", "-f", "{}/haproxy.cfg"}},
	{name: "caddy", command: "caddy", files: []string{"Caddyfile"}, version: []string{"version"}, args: []string{"run", "--config", "{}/Caddyfile", "--adapter", "caddyfile"}},
	{name: "envoy", command: "envoy", files: []string{"envoy.yaml"}, version: []string{"--version"}, args: []string{"-c", "{}/envoy.yaml", "--log-level", "error"}, opt: true},
	{name: "traefik", command: "traefik", files: []string{"traefik.yml", "traefik-routes.yml"}, version: []string{"version"}, args: []string{"--configFile={}/traefik.yml"}, opt: true},
}

// setting is what the configurations are made from.
type setting struct {
	benchCase
	Port       int
	Cores      int
	Admin      string // ours alone has one
	Dir        string
	Scheme     string // of the origin
	Origins    []string
	Validate   string
	ServerName string
	Token      string
	Root       bool
}

// Addresses returns the origins' hosts and ports apart.
func (s setting) Addresses() []struct{ Host, Port string } {
	var of []struct{ Host, Port string }
	for _, at := range s.Origins {
		host, port, _ := net.SplitHostPort(at)
		of = append(of, struct{ Host, Port string }{host, port})
	}
	return of
}

//go:embed configs
var configs embed.FS

// configure writes the peer's files.
func (p peer) configure(s setting) error {
	for _, name := range p.files {
		t, err := template.ParseFS(configs, "configs/"+name)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, s); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(s.Dir, name), b.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// commandLine is how the peer is started with the files of dir.
func (p peer) commandLine(dir string, cores int) []string {
	line := []string{p.command}
	for _, arg := range p.args {
		line = append(line, strings.ReplaceAll(arg, "{}", dir))
	}
	if p.name == "envoy" {
		line = append(line, "--concurrency", fmt.Sprint(cores), "--base-id", fmt.Sprint(os.Getpid()%1000))
	}
	return line
}

// installed returns the peers of a list, or all that there are. Those that have to be
// there and are not, are an error that says how to install them.
func installed(list, sidecar string) ([]peer, error) {
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(list, ",") {
		wanted[name] = true
	}
	var found []peer
	var missing []string
	for _, p := range peers {
		if list != "" && !wanted[p.name] {
			continue
		}
		delete(wanted, p.name)
		if p.name == ours {
			p.command = sidecar
		}
		file, err := exec.LookPath(p.command)
		if err == nil {
			p.command, err = filepath.Abs(file)
		}
		switch {
		case err == nil:
			found = append(found, p)
		case p.name == ours:
			return nil, fmt.Errorf("%s is missing: make build", sidecar)
		case !p.opt || list != "":
			missing = append(missing, p.name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s: not installed; apt-get install -y --no-install-recommends %s", strings.Join(missing, ", "), strings.Join(missing, " "))
	}
	if list != "" && len(wanted) > 0 {
		return nil, errors.New("there is no such proxy among " + list)
	}
	return found, nil
}
