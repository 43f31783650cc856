package config

import (
	"fmt"
	"strconv"
	"strings"
)

// consulAddress is the variable that alone is enough to have Consul asked.
const consulAddress = "CONSUL_HTTP_ADDR"

// borrow reads the variables of Consul's own tools, as these read them, where
// neither the file nor a variable or flag of ours says anything.
func (l *loader) borrow() {
	if l.cfg.Consul == nil {
		if l.environ[consulAddress] == "" {
			return
		}
		l.cfg.Consul = blankOf[Consul]()
	}
	l.borrowAddress()
	l.borrowToken()
	l.borrowTLS()
	if l.environ["CONSUL_HTTP_AUTH"] != "" {
		l.add(Problem{Message: "CONSUL_HTTP_AUTH: HTTP basic authentication is not supported: use a token"})
	}
}

// lend sets the key at path, unless somebody did already.
func (l *loader) lend(path, name, text string) {
	if text == "" || l.has(path) {
		return
	}
	for _, s := range settings() {
		if s.path == path {
			l.origins[path] = name
			l.overrideWord(s, s.field(l.cfg), text)
		}
	}
}

// borrowAddress takes an address without a scheme, or with one.
func (l *loader) borrowAddress() {
	text := l.environ[consulAddress]
	if text != "" && !l.has("consul.address") {
		scheme, address, ok := strings.Cut(text, "://")
		if !ok {
			scheme, address = "http", text
		}
		address = strings.TrimSuffix(address, "/")
		switch {
		case scheme == "unix":
			l.add(Problem{Message: consulAddress + ": a Unix socket is not supported: want host:port, http://host:port or https://host:port"})
		case !oneOf("http|https", scheme) || address == "" || !isAuthority(address):
			l.add(Problem{Message: fmt.Sprintf("%s: want host:port, http://host:port or https://host:port, found %s", consulAddress, l.quoted(text))})
		default:
			l.lend("consul.address", consulAddress, address)
			if scheme == "https" {
				l.lend("consul.scheme", consulAddress, scheme)
			}
		}
	}
	if on, ok := l.truth("CONSUL_HTTP_SSL"); ok && on {
		l.lend("consul.scheme", "CONSUL_HTTP_SSL", "https")
	}
}

// quoted returns text for a fault, unless it may hold a password.
func (l *loader) quoted(text string) string {
	if strings.Contains(text, "@") {
		return redacted
	}
	return strconv.Quote(shorten(text))
}

// truth reads a variable that is true or false; false comes second when it is not
// set, or is neither, which has been reported then.
func (l *loader) truth(name string) (value, ok bool) {
	text := l.environ[name]
	if text == "" {
		return false, false
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		l.add(Problem{Message: fmt.Sprintf("%s: want true or false, found %s", name, l.quoted(text))})
	}
	return value, err == nil
}

// borrowToken takes the file before the token, as Consul's tools do, and neither
// where the file of ours has one of them: the two are one setting.
func (l *loader) borrowToken() {
	const token, file = "consul.token", "consul.token_file"
	_, tokenSet := l.origins[token]
	_, fileSet := l.origins[file]
	if tokenSet && !fileSet {
		l.cfg.Consul.TokenFile = "" // the file's: what overrides the token overrides it, too
	}
	if fileSet && !tokenSet {
		l.cfg.Consul.Token = ""
	}
	if l.has(token) || l.has(file) {
		return
	}
	l.lend(file, "CONSUL_HTTP_TOKEN_FILE", l.environ["CONSUL_HTTP_TOKEN_FILE"])
	if !l.has(file) {
		l.lend(token, "CONSUL_HTTP_TOKEN", l.environ["CONSUL_HTTP_TOKEN"])
	}
}

// borrowTLS leaves alone an agent that is asked without TLS, as Consul's tools do.
func (l *loader) borrowTLS() {
	if verify, ok := l.truth("CONSUL_HTTP_SSL_VERIFY"); ok && !verify {
		l.add(Problem{Message: "CONSUL_HTTP_SSL_VERIFY: the agent's certificate is always verified: name its roots by CONSUL_CACERT or consul.tls.ca_file instead"})
	}
	if l.cfg.Consul.Scheme != "https" {
		return
	}
	for _, s := range []struct{ key, name string }{
		{"ca_file", "CONSUL_CACERT"},
		{"cert_file", "CONSUL_CLIENT_CERT"},
		{"key_file", "CONSUL_CLIENT_KEY"},
		{"server_name", "CONSUL_TLS_SERVER_NAME"},
	} {
		l.lend("consul.tls."+s.key, s.name, l.environ[s.name])
	}
	if l.environ["CONSUL_CAPATH"] != "" && !l.has("consul.tls.ca_file") {
		l.add(Problem{Message: "CONSUL_CAPATH: a directory of roots is not supported: put them into one file, and name it by CONSUL_CACERT or consul.tls.ca_file"})
	}
}
