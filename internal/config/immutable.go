package config

import (
	"fmt"
	"maps"
)

// Immutable returns what differs between two configurations and cannot change in a
// running proxy: where it listens, what it is called, how it reaches Consul and the
// collector, and whether it proves who it is.
func Immutable(running, next *Config) []Problem {
	problems := []Problem{}
	from := next.source
	if from == nil {
		from = newSource(next.File)
	}
	was, is := fixed(running), fixed(next)
	if (running.Consul == nil) != (next.Consul == nil) { // the rest follows from that
		for _, values := range []map[string]string{was, is} {
			maps.DeleteFunc(values, func(path, _ string) bool { return below("consul", path) })
			if values["consul"] == "" {
				values["consul"] = "off"
			}
		}
	}
	for _, path := range sorted(merged(was, is)) {
		if was[path] == is[path] {
			continue
		}
		if path == tokenPath {
			problems = append(problems, from.problem(path,
				"cannot change while the proxy runs: restart it; a token in consul.token_file can, since the file is read anew at each request"))
			continue
		}
		problems = append(problems, from.problem(path,
			"cannot change while the proxy runs: it is %q now, and would be %q: restart it", was[path], is[path]))
	}
	return tidy(problems)
}

// tokenPath is the one value among those that is not shown.
const tokenPath = "consul.token"

// fixed returns the values that a reload cannot change, by key path.
func fixed(c *Config) map[string]string {
	values := map[string]string{
		"server.host":       c.Server.Host,
		"server.port":       fmt.Sprint(c.Server.Port),
		"admin.listen":      c.Admin.Listen,
		"probe.listen":      c.Probe.Listen,
		"identity.provider": c.Identity.Provider,
		"identity.mtls":     c.Identity.MTLS,
		"tracing.endpoint":  c.Tracing.Endpoint,
		"tracing.protocol":  c.Tracing.Protocol,
	}
	if s := c.Service; s != nil {
		values["service.name"], values["service.id"], values["service.address"] = s.Name, s.ID, s.Address
	}
	if c.Inbound != nil {
		values["inbound.listen"] = c.Inbound.Listen
	}
	if c.Outbound != nil {
		values["outbound.listen"] = c.Outbound.Listen
	}
	for name, s := range c.Services {
		values[under(under("services", name), "listen")] = s.Listen
	}
	if c.Consul != nil {
		values["consul"] = "on"
		fixedConsul(values, c.Consul)
	}
	return values
}

// fixedConsul adds how the agent is reached.
func fixedConsul(values map[string]string, c *Consul) {
	tls := ClientTLS{}
	if c.TLS != nil {
		tls = *c.TLS
	}
	for key, value := range map[string]any{
		"address":         c.Address,
		"scheme":          c.Scheme,
		"token":           c.Token,
		"token_file":      c.TokenFile,
		"datacenter":      c.Datacenter,
		"tls.ca_file":     tls.CAFile,
		"tls.cert_file":   tls.CertFile,
		"tls.key_file":    tls.KeyFile,
		"tls.server_name": tls.ServerName,
		"register":        c.Register,
		"snapshot_dir":    c.SnapshotDir,
		"stale":           c.Stale,
		"max_watches":     c.MaxWatches,
	} {
		values["consul."+key] = fmt.Sprint(value)
	}
}

func merged(a, b map[string]string) map[string]bool {
	keys := map[string]bool{}
	for key := range a {
		keys[key] = true
	}
	for key := range b {
		keys[key] = true
	}
	return keys
}
