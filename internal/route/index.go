package route

import (
	"bytes"
	"net/http"
)

// index finds entries by host, then by path.
type index struct {
	exact    map[string]*tree // by host
	wildcard map[string]*tree // by suffix with its leading dot
	any      *tree
}

// newIndex indexes ranked entries.
func newIndex(entries []*entry) index {
	x := index{exact: map[string]*tree{}, wildcard: map[string]*tree{}, any: &tree{}}
	for _, e := range entries {
		x.tree(e.host).add(e)
	}
	return x
}

// tree returns the tree of a configured host, made at its first use.
func (x *index) tree(host string) *tree {
	if host == "" {
		return x.any
	}
	trees := x.exact
	if suffix, ok := wildcard(host); ok {
		trees, host = x.wildcard, suffix
	}
	if trees[host] == nil {
		trees[host] = &tree{}
	}
	return trees[host]
}

// find returns the most specific entry that req meets, nil for none.
func (x *index) find(req *http.Request) *entry {
	path := req.URL.Path
	if path == "" || path[0] != '/' {
		return nil // "*" is no path
	}
	if len(x.exact)+len(x.wildcard) > 0 {
		var buf [hostMax]byte // so that no host costs an allocation
		if e := x.byHost(foldHost(req.Host, buf[:]), path, req); e != nil {
			return e
		}
	}
	return x.any.find(path, req)
}

func (x *index) byHost(host []byte, path string, req *http.Request) *entry {
	if t := x.exact[string(host)]; t != nil {
		if e := t.find(path, req); e != nil {
			return e
		}
	}
	if len(x.wildcard) == 0 || len(host) == 0 {
		return nil
	}
	// From the second character: the * stands for at least one label.
	for i := 1; ; i++ {
		dot := bytes.IndexByte(host[i:], '.')
		if dot < 0 {
			return nil
		}
		i += dot
		if t := x.wildcard[string(host[i:])]; t != nil {
			if e := t.find(path, req); e != nil {
				return e
			}
		}
	}
}

// tree finds entries by path. Each pattern is a branch up to its first **; what
// begins there is matched segment by segment.
type tree struct {
	literal map[string]*tree
	one     *tree    // *
	ends    []*entry // the patterns that end here, ranked
	deep    []*entry // those that go on with **, ranked
	depth   int      // how many segments lead here
}

// add adds e; entries come ranked.
func (t *tree) add(e *entry) {
	for _, g := range e.pattern.segments {
		switch g.kind {
		case deep:
			t.deep = append(t.deep, e)
			return
		case one:
			if t.one == nil {
				t.one = &tree{depth: t.depth + 1}
			}
			t = t.one
		default:
			if t.literal == nil {
				t.literal = map[string]*tree{}
			}
			if t.literal[g.name] == nil {
				t.literal[g.name] = &tree{depth: t.depth + 1}
			}
			t = t.literal[g.name]
		}
	}
	t.ends = append(t.ends, e)
}

// find tries branches in the order of precedence. It meets each tree at most once.
func (t *tree) find(path string, req *http.Request) *entry {
	name, rest, more := next(path)
	if more {
		if branch := t.literal[name]; branch != nil {
			if e := branch.find(rest, req); e != nil {
				return e
			}
		}
		if t.one != nil {
			if e := t.one.find(rest, req); e != nil {
				return e
			}
		}
	} else {
		for _, e := range t.ends {
			if e.meets(req) {
				return e
			}
		}
	}
	for _, e := range t.deep {
		if e.meets(req) {
			if _, ok := match(e.pattern.segments[t.depth:], path); ok {
				return e
			}
		}
	}
	return nil
}
