package config

import (
	"encoding/pem"
	"strings"
)

// manyWatches is how many connections from one address an agent allows, less some
// for what does not block (limits.http_max_conns_per_client is 200).
const manyWatches = 180

// checkConsul checks how the agent is reached.
func (l *loader) checkConsul() {
	c := l.cfg.Consul
	if c == nil {
		return
	}
	if c.Address == "" {
		l.fault("consul.address", "is empty: write the agent's, such as 127.0.0.1:8500")
	}
	if c.Token != "" && c.TokenFile != "" {
		l.fault("consul.token_file", "excludes token: only one of them says what authorises us")
	}
	l.checkTokenFile(c.TokenFile)
	if c.TLS != nil {
		l.checkPair("consul.tls")
		if c.Scheme != "https" && !l.failed["consul.scheme"] {
			l.fault("consul.tls", "has no effect: consul.scheme is %s", c.Scheme)
		}
	}
	if c.MaxWatches > manyWatches {
		l.warn("consul.max_watches", "is more than %d: an agent answers 429 to the 201st connection from one address, unless its limits.http_max_conns_per_client says otherwise", manyWatches)
	}
	for _, name := range sorted(l.cfg.Services) {
		if s := l.cfg.Services[name].Consul; s != nil {
			l.refuse(s.Connect == "only", under(under(under("services", name), "consul"), "connect"), "only, which needs the certificates of Consul's own mesh,")
		}
	}
}

// checkTokenFile warns of a file without a token. It may be being written, and is
// read anew at each request.
func (l *loader) checkTokenFile(name string) {
	if name == "" {
		return
	}
	if text, err := l.read(name); err == nil && strings.TrimSpace(string(text)) == "" {
		l.warn("consul.token_file", "%s is empty: no request to Consul can be made until a token stands there", name)
	}
}

// checkIdentity checks that what mutual TLS needs is there, and that it is not only
// thought to be on.
func (l *loader) checkIdentity() {
	id := &l.cfg.Identity
	files := []struct{ key, file, block, what string }{
		{"cert_file", id.CertFile, "CERTIFICATE", "the service's certificate"},
		{"key_file", id.KeyFile, "PRIVATE KEY", "the certificate's key"},
		{"ca_file", id.CAFile, "CERTIFICATE", "the roots that other services' certificates come from"},
	}
	switch id.Provider {
	case "none":
		for _, f := range files {
			if f.file != "" {
				l.fault(under("identity", f.key), "has no effect: identity.provider is none; write provider: files")
			}
		}
		if id.MTLS != "off" {
			l.fault("identity.mtls", "%s needs a certificate: write provider: files, with cert_file, key_file and ca_file", id.MTLS)
		}
	case "files":
		for _, f := range files {
			l.checkPEM(under("identity", f.key), f.file, f.block, f.what)
		}
		if id.MTLS == "off" {
			l.warn("identity.mtls", "is off: the certificate is used for nothing; write permissive or strict")
		}
	}
}

// checkPEM checks that a file is named and holds a block of this kind.
func (l *loader) checkPEM(path, file, kind, what string) {
	if file == "" {
		l.fault(path, "missing: provider: files needs a file with %s", what)
		return
	}
	text, err := l.read(file)
	if err != nil {
		return // reported where it was named
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, kind) { // of keys there are several kinds
			return
		}
	}
	l.fault(path, "%s holds no %s in PEM form: want %s", file, kind, what)
}
