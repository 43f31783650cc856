package config

import "fmt"

// Immutable returns what differs between two configurations and cannot change in a
// running proxy: where it listens and what it is called.
func Immutable(running, next *Config) []Problem {
	problems := []Problem{}
	from := next.source
	if from == nil {
		from = newSource(next.File)
	}
	was, is := fixed(running), fixed(next)
	for _, path := range sorted(merged(was, is)) {
		if was[path] == is[path] {
			continue
		}
		problems = append(problems, from.problem(path,
			"cannot change while the proxy runs: it is %q now, and would be %q: restart it", was[path], is[path]))
	}
	return tidy(problems)
}

// fixed returns the values that a reload cannot change, by key path.
func fixed(c *Config) map[string]string {
	values := map[string]string{
		"server.host":  c.Server.Host,
		"server.port":  fmt.Sprint(c.Server.Port),
		"admin.listen": c.Admin.Listen,
		"probe.listen": c.Probe.Listen,
	}
	if c.Service != nil {
		values["service.name"], values["service.id"] = c.Service.Name, c.Service.ID
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
	return values
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
