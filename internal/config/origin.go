package config

import "fmt"

// Origin is where a value of the configuration came from. The zero Origin is a
// default.
type Origin struct {
	Key  string // the key that set it; empty for a default
	File string // the configuration's file; empty for what a variable or flag set
	Line int    // from 1
	Set  string // the variable or flag that set it, such as OUTRIDER_SERVER_PORT; empty for the file
}

// String returns file:line, the variable or flag, or "default".
func (o Origin) String() string {
	switch {
	case o.Key == "":
		return "default"
	case o.Set != "":
		return o.Set
	case o.Line == 0:
		return o.File
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

// Origin returns where the value in use came from: of these key paths, such as
// routing[0].timeout and services.orders.timeout, the first that somebody set. Where
// nobody set any it is the zero Origin.
func (c *Config) Origin(paths ...string) Origin {
	if c.source == nil {
		return Origin{}
	}
	for _, path := range paths {
		if set, ok := c.source.origins[path]; ok {
			return Origin{Key: path, Set: set}
		}
		if line, ok := c.source.lines[path]; ok {
			return Origin{Key: path, File: c.File, Line: line}
		}
	}
	return Origin{}
}

// Key returns the path of a key below path; what is no plain word is quoted.
func Key(path string, below ...string) string {
	for _, key := range below {
		path = under(path, key)
	}
	return path
}

// RouteKey returns the path of a route of this configuration, such as routing[2];
// empty for a route that it does not have.
func (c *Config) RouteKey(r *Route) string {
	for i, other := range c.Routing {
		if other == r {
			return item("routing", i)
		}
	}
	if c.Inbound == nil {
		return ""
	}
	for i, other := range c.Inbound.Routing {
		if other == r {
			return item("inbound.routing", i)
		}
	}
	return ""
}
