package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"outrider/internal/bridge"
	"outrider/internal/config"
	"outrider/internal/explain"
	"outrider/internal/mesh"
)

var errNoGeneration = errors.New("the proxy is starting: ask again in a moment")

// Explain says what a request would meet, from the state of this moment. Nothing is
// sent, and no token, trial, place or turn is taken. Its error is a mistake in the
// question.
func (p *Proxy) Explain(ctx context.Context, q explain.Question) (explain.Answer, error) {
	g := p.current.Load()
	if g == nil {
		return explain.Answer{}, errNoGeneration
	}
	var a explain.Answer
	for _, direction := range []string{"ingress", "inbound", "outbound"} {
		way := g.ways[direction]
		if way == nil || q.Direction != "" && q.Direction != direction {
			continue
		}
		x := &explanation{p: p, g: g, way: way}
		if err := x.read(ctx, q); err != nil {
			return explain.Answer{}, err
		}
		x.run()
		x.call.End(mesh.Result{})
		a.Reports = append(a.Reports, x.report)
	}
	if len(a.Reports) == 0 {
		return explain.Answer{}, fmt.Errorf("direction %q: a gateway has only ingress, a sidecar inbound and outbound", q.Direction)
	}
	return a, nil
}

// explanation is one question on one way in.
type explanation struct {
	p      *Proxy
	g      *generation
	way    *way
	plan   *plan // of the rule that matches; nil before, and where none does
	req    *http.Request
	call   *mesh.Call
	report explain.Report
}

// read makes the request that is asked about.
func (x *explanation) read(ctx context.Context, q explain.Question) error {
	u, host, secure, err := target(q.URL)
	if err != nil {
		return err
	}
	client := netip.MustParseAddr("127.0.0.1")
	if q.Client != "" {
		if client, err = netip.ParseAddr(q.Client); err != nil {
			return fmt.Errorf("client %q is not an address, such as 192.0.2.7", q.Client)
		}
	}
	x.call = mesh.NewCall(ctx)
	x.call.Start, x.call.Peer, x.call.Secure = time.Now(), netip.AddrPortFrom(client, 0), secure
	req := &http.Request{
		Method: q.Method, URL: u, Host: host, Header: http.Header{}, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if req.Method == "" {
		req.Method = http.MethodGet
	}
	for _, line := range q.Headers {
		if err := addField(req, line); err != nil {
			return err
		}
	}
	if req.Host == "" && x.way.direction != "outbound" { // there it says which service is meant
		req.Host = x.p.where.Server + x.p.where.Inbound
	}
	x.req = x.call.Bind(req)
	x.report = explain.Report{
		Direction: x.way.direction, Method: req.Method, Host: req.Host, Path: u.EscapedPath(), Client: client.String(),
		Others: []explain.Other{}, Layers: []explain.Layer{}, Services: []explain.Service{},
	}
	return nil
}

// target takes a URL apart as a client does that sends the request: what follows the
// authority goes into the request line as it is.
func target(text string) (u *url.URL, host string, secure bool, err error) {
	line := text
	if scheme, rest, ok := strings.Cut(text, "://"); ok && !strings.HasPrefix(text, "/") {
		if scheme != "http" && scheme != "https" {
			return nil, "", false, fmt.Errorf("url %q: want http or https, or a path", text)
		}
		secure = scheme == "https"
		end := len(rest)
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			end = i
		}
		host, line = rest[:end], rest[end:]
		if !strings.HasPrefix(line, "/") {
			line = "/" + line
		}
	}
	line, _, _ = strings.Cut(line, "#") // no client sends it
	if line != "*" && !strings.HasPrefix(line, "/") {
		return nil, "", false, fmt.Errorf("url %q: want http://host/path, or a path that begins with a slash", text)
	}
	if u, err = url.ParseRequestURI(line); err != nil {
		return nil, "", false, fmt.Errorf("url %q: %w", text, err)
	}
	return u, host, secure, nil
}

// addField adds a header field, as "Name: value", to req.
func addField(req *http.Request, line string) error {
	name, value, ok := strings.Cut(line, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch {
	case !ok || name == "":
		return fmt.Errorf("header %q: want Name: value", name)
	case strings.EqualFold(name, "Host"):
		req.Host = value
		return nil
	case strings.EqualFold(name, "Content-Length"):
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("header %q: want a number of bytes", line)
		}
		req.ContentLength = n
	}
	req.Header.Add(name, value)
	return nil
}

// run goes the request's way until something stops it.
func (x *explanation) run() {
	bridge.Measure(x.call, x.req.Header)
	for _, meet := range []func() bool{
		x.server, x.forward, x.sizes, x.match, x.cors, x.pathLimit, x.known,
		x.addressLimit, x.auth, x.subjectLimit, x.transform, x.cache, x.rewrite, x.origin,
	} {
		if !meet() {
			return
		}
	}
}

// layer notes a layer that the request has met.
func (x *explanation) layer(name, does, says string, settings ...explain.Setting) {
	x.report.Layers = append(x.report.Layers, explain.Layer{Name: name, Does: does, Says: says, Settings: settings})
}

// stop notes the layer that stops the request with f; from says where the
// configuration wants that.
func (x *explanation) stop(name string, f *mesh.Fault, settings ...explain.Setting) bool {
	x.layer(name, explain.Stops, f.Text(), settings...)
	x.report.Status, x.report.Code = f.Kind.Status(), f.Kind.Code()
	x.report.Verdict = fmt.Sprintf("would be answered %d %s: %s", f.Kind.Status(), f.Kind.Code(), f.Text())
	for _, s := range settings {
		if s.From != "default" && x.report.From == "" {
			x.report.From = s.From + " (" + s.Key + ")"
		}
	}
	if x.report.From == "" && len(settings) > 0 {
		x.report.From = settings[0].Name + ", by default"
	}
	return false
}

// answer notes the layer whose own answer the client would get.
func (x *explanation) answer(name string, status int, says string, settings ...explain.Setting) bool {
	x.layer(name, explain.Answers, says, settings...)
	x.report.Status = status
	x.report.Verdict = fmt.Sprintf("would be answered %d by the proxy: %s", status, says)
	return false
}

// set describes a setting: its value, and which of the keys set it.
func (x *explanation) set(name string, value any, keys ...string) explain.Setting {
	if len(keys) == 0 {
		keys = []string{name}
	}
	from := x.g.cfg.Origin(keys...)
	return explain.Setting{Name: name, Value: show(value), From: from.String(), Key: from.Key}
}

// show writes a value as the configuration would.
func show(value any) string {
	switch v := value.(type) {
	case config.Size:
		if v == 0 {
			return "unlimited"
		}
		return fmt.Sprintf("%d bytes", int64(v))
	case time.Duration:
		if v == 0 {
			return "none"
		}
	case []string:
		return strings.Join(v, " ")
	}
	return fmt.Sprint(value)
}
