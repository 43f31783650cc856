package config_test

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"outrider/internal/config"
)

// agent is the Consul block of a configuration that says nothing of Consul.
func agent(edit func(*config.Consul)) *config.Consul {
	c := &config.Consul{Address: "127.0.0.1:8500", Scheme: "http", Register: true, Stale: true, MaxWatches: 64}
	edit(c)
	return c
}

// several serves files by name, and no others.
func several(files map[string]string) func(string) ([]byte, error) {
	return func(asked string) ([]byte, error) {
		text, ok := files[asked]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: asked, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}
}

func TestConsulsOwnVariables(t *testing.T) {
	tests := []struct {
		name    string
		text    string
		environ []string
		want    *config.Consul
	}{
		{"neither a block nor an address", "", []string{"CONSUL_HTTP_TOKEN=x", "CONSUL_HTTP_SSL=true", "CONSUL_HTTP_SSL_VERIFY=false", "CONSUL_HTTP_AUTH=a:b"}, nil},
		{"an empty address", "", []string{"CONSUL_HTTP_ADDR="}, nil},
		{"an empty block", "consul: {}", nil, agent(func(*config.Consul) {})},
		{"host and port", "", []string{"CONSUL_HTTP_ADDR=consul:8500"}, agent(func(c *config.Consul) { c.Address = "consul:8500" })},
		{"http", "", []string{"CONSUL_HTTP_ADDR=http://[::1]:8500/"}, agent(func(c *config.Consul) { c.Address = "[::1]:8500" })},
		{"https", "", []string{"CONSUL_HTTP_ADDR=https://consul"}, agent(func(c *config.Consul) { c.Address, c.Scheme = "consul", "https" })},
		{"TLS asked for besides", "", []string{"CONSUL_HTTP_ADDR=http://consul:1", "CONSUL_HTTP_SSL=1"}, agent(func(c *config.Consul) { c.Address, c.Scheme = "consul:1", "https" })},
		{"TLS not asked for", "", []string{"CONSUL_HTTP_ADDR=https://consul:1", "CONSUL_HTTP_SSL=0", "CONSUL_HTTP_SSL_VERIFY=true"}, agent(func(c *config.Consul) { c.Address, c.Scheme = "consul:1", "https" })},
		{"the file's address, and so its scheme", "consul: {address: 'here:1'}", []string{"CONSUL_HTTP_ADDR=https://there:2"}, agent(func(c *config.Consul) { c.Address = "here:1" })},
		{"the file's scheme", "consul: {scheme: http}", []string{"CONSUL_HTTP_ADDR=https://there:2", "CONSUL_HTTP_SSL=true"}, agent(func(c *config.Consul) { c.Address = "there:2" })},
		{"a token", "consul: {}", []string{"CONSUL_HTTP_TOKEN=secret"}, agent(func(c *config.Consul) { c.Token = "secret" })},
		{"a token's file before a token", "consul: {}", []string{"CONSUL_HTTP_TOKEN=secret", "CONSUL_HTTP_TOKEN_FILE=t"}, agent(func(c *config.Consul) { c.TokenFile = "t" })},
		{"the file's token before either", "consul: {token: own}", []string{"CONSUL_HTTP_TOKEN=secret", "CONSUL_HTTP_TOKEN_FILE=t"}, agent(func(c *config.Consul) { c.Token = "own" })},
		{"the file's file before either", "consul: {token_file: t}", []string{"CONSUL_HTTP_TOKEN=secret", "CONSUL_HTTP_TOKEN_FILE=u"}, agent(func(c *config.Consul) { c.TokenFile = "t" })},
		{"our own variable before the file and theirs", "consul: {token_file: t, address: 'here:1'}", []string{"OUTRIDER_CONSUL_TOKEN=ours", "OUTRIDER_CONSUL_ADDRESS=ours:1", "CONSUL_HTTP_TOKEN=secret", "CONSUL_HTTP_ADDR=there:1"}, agent(func(c *config.Consul) { c.Token, c.Address = "ours", "ours:1" })},
		{"our own variable for the file", "consul: {token: own}", []string{"OUTRIDER_CONSUL_TOKEN_FILE=t"}, agent(func(c *config.Consul) { c.TokenFile = "t" })},
		{"TLS", "consul: {scheme: https}", []string{"CONSUL_CACERT=ca", "CONSUL_CLIENT_CERT=c", "CONSUL_CLIENT_KEY=k", "CONSUL_TLS_SERVER_NAME=server.dc1.consul"}, agent(func(c *config.Consul) {
			c.Scheme = "https"
			c.TLS = &config.ClientTLS{CAFile: "ca", CertFile: "c", KeyFile: "k", ServerName: "server.dc1.consul"}
		})},
		{"TLS of which the file says a part", "consul: {scheme: https, tls: {ca_file: t}}", []string{"CONSUL_CACERT=ca", "CONSUL_CAPATH=/roots", "CONSUL_TLS_SERVER_NAME=s"}, agent(func(c *config.Consul) {
			c.Scheme = "https"
			c.TLS = &config.ClientTLS{CAFile: "t", ServerName: "s"}
		})},
		{"TLS that the agent does not speak", "consul: {}", []string{"CONSUL_CACERT=none", "CONSUL_CAPATH=/roots"}, agent(func(*config.Consul) {})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{"g.yml": tt.text, "t": "token", "u": "token", "ca": "x", "c": "x", "k": "x"}
			c, err := config.Load(config.Options{File: "g.yml", Environ: tt.environ, ReadFile: several(files)})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(c.Consul, tt.want) {
				t.Errorf("got %+v, want %+v", c.Consul, tt.want)
			}
		})
	}
}

func TestConsulsOwnVariablesThatAreRefused(t *testing.T) {
	for variable, want := range map[string]string{
		"CONSUL_HTTP_ADDR=unix:///run/consul.sock":      "CONSUL_HTTP_ADDR: a Unix socket is not supported: want host:port, http://host:port or https://host:port",
		"CONSUL_HTTP_ADDR=tcp://a:1":                    `CONSUL_HTTP_ADDR: want host:port, http://host:port or https://host:port, found "tcp://a:1"`,
		"CONSUL_HTTP_ADDR=http://a:1/prefix":            `CONSUL_HTTP_ADDR: want host:port, http://host:port or https://host:port, found "http://a:1/prefix"`,
		"CONSUL_HTTP_ADDR=http://":                      `CONSUL_HTTP_ADDR: want host:port`,
		"CONSUL_HTTP_ADDR=user:hunter2@a:1":             `CONSUL_HTTP_ADDR: want host:port, http://host:port or https://host:port, found …redacted…`,
		"CONSUL_HTTP_SSL=maybe":                         `CONSUL_HTTP_SSL: want true or false, found "maybe"`,
		"CONSUL_HTTP_SSL_VERIFY=false":                  "CONSUL_HTTP_SSL_VERIFY: the agent's certificate is always verified: name its roots by CONSUL_CACERT or consul.tls.ca_file instead",
		"CONSUL_HTTP_SSL_VERIFY=maybe":                  `CONSUL_HTTP_SSL_VERIFY: want true or false, found "maybe"`,
		"CONSUL_HTTP_AUTH=user:hunter2":                 "CONSUL_HTTP_AUTH: HTTP basic authentication is not supported: use a token",
		"CONSUL_HTTP_TOKEN_FILE=none":                   "CONSUL_HTTP_TOKEN_FILE: consul.token_file: none cannot be read: file does not exist",
		"OUTRIDER_CONSUL_SCHEME=https CONSUL_CACERT=n":  "CONSUL_CACERT: consul.tls.ca_file: n cannot be read: file does not exist",
		"CONSUL_HTTP_SSL=true CONSUL_CAPATH=/roots":     "CONSUL_CAPATH: a directory of roots is not supported",
		"CONSUL_HTTP_SSL=true CONSUL_CLIENT_CERT=g.yml": "consul.tls: has cert_file alone: cert_file and key_file go together",
		"CONSUL_NAMESPACE=a/b":                          `CONSUL_NAMESPACE: want a name: letters, digits, - and _, at most 64, found "a/b"`,
	} {
		_, err := config.Load(config.Options{
			File:     "g.yml",
			Environ:  strings.Fields(variable),
			ReadFile: file("g.yml", "consul: {}\nservices: {a: {}}\nrouting: [{path: /a, service: a}]\n"),
		})
		faults, _ := errors.AsType[config.Problems](err)
		if len(faults) != 1 || !strings.HasPrefix(strings.TrimPrefix(faults[0].String(), "g.yml:1: "), want) {
			t.Errorf("%s: got %v, want %s alone", variable, err, want)
		}
	}
}

// A service that is said to be nowhere is looked for in Consul.
func TestServicesInConsul(t *testing.T) {
	c := load(t, `
consul: {}
services:
  a:
  b: {consul: bees}
  c: {consul: {datacenter: dc2, namespace: own, tag: v2, filter: "Service.Meta.x == y", connect: never}}
  d: {url: "http://d"}
routing: [{path: /a, split: [{service: a}, {service: b}, {service: c}, {service: d}]}]
`, "CONSUL_NAMESPACE=team", "CONSUL_PARTITION=east")
	for name, want := range map[string]*config.ConsulService{
		"a": {Service: "a", Namespace: "team", Partition: "east", Connect: "auto"},
		"b": {Service: "bees", Namespace: "team", Partition: "east", Connect: "auto"},
		"c": {Service: "c", Datacenter: "dc2", Namespace: "own", Partition: "east", Tag: "v2", Filter: "Service.Meta.x == y", Connect: "never"},
		"d": nil,
	} {
		if got := c.Services[name].Consul; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}
