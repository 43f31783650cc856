package config

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The share of traces that is recorded, and how traces are carried, where tracing is
// on and nothing else is said.
const defaultSample = 0.01

func defaultPropagators() []string { return []string{"tracecontext", "b3"} }

// otlpPath is where a collector takes spans over HTTP (OTLP 1.x, section OTLP/HTTP
// Request).
const otlpPath = "/v1/traces"

// conformCollector checks the address of a collector: a URL or, for one without TLS,
// host:port.
func conformCollector(text string) string {
	u, err := url.Parse(withScheme(text))
	switch {
	case err != nil || u.Opaque != "" || !oneOf("http|https", u.Scheme) || !isAuthority(u.Host):
		return "host:port, or a URL of http or https with a host, such as http://127.0.0.1:4317"
	case u.User != nil:
		return "a URL without user and password: set OTEL_EXPORTER_OTLP_HEADERS instead"
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return "a URL without query and fragment"
	default:
		return ""
	}
}

func withScheme(text string) string {
	if strings.Contains(text, "://") {
		return text
	}
	return "http://" + text
}

// borrowTracing reads the variables of OpenTelemetry where neither the file nor a
// variable or flag of ours says anything. One that makes no sense is warned of, and
// does nothing, as OpenTelemetry's specification asks for.
func (l *loader) borrowTracing() {
	if off, _ := strconv.ParseBool(l.environ["OTEL_SDK_DISABLED"]); !off && l.environ["OTEL_TRACES_EXPORTER"] != "none" {
		l.borrowCollector()
	}
	t := &l.cfg.Tracing
	if t.Endpoint == "" {
		return
	}
	l.borrowSampler()
	l.borrowPropagators()
	if t.Protocol == "" {
		t.Protocol = "grpc"
	}
	if !l.has("tracing.sample") {
		t.Sample = defaultSample
	}
	if t.Propagators == nil {
		t.Propagators = defaultPropagators()
	}
	t.Endpoint = withScheme(t.Endpoint)
	if u, err := url.Parse(t.Endpoint); err == nil && t.Protocol == "http" && strings.Trim(u.Path, "/") == "" {
		t.Endpoint = strings.TrimRight(t.Endpoint, "/") + otlpPath
	}
}

// borrowCollector takes the variables for traces before those for everything. Of the
// latter the endpoint is the beginning of a path. Where the endpoint is ours to say, so
// is the protocol that it speaks.
func (l *loader) borrowCollector() {
	const path = "tracing.endpoint"
	if l.has(path) {
		return
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		text := l.environ[name]
		if text == "" {
			continue
		}
		if want := conformCollector(text); want != "" {
			l.ignored(name, want)
			continue
		}
		l.borrowProtocol()
		if name == "OTEL_EXPORTER_OTLP_ENDPOINT" && l.cfg.Tracing.Protocol == "http" {
			text = strings.TrimRight(text, "/") + otlpPath
		}
		l.lend(path, name, text)
		return
	}
}

func (l *loader) borrowProtocol() {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		switch l.environ[name] {
		case "":
		case "grpc":
			l.lend("tracing.protocol", name, "grpc")
		case "http/protobuf":
			l.lend("tracing.protocol", name, "http")
		default:
			l.ignored(name, "grpc or http/protobuf")
		}
	}
}

// borrowSampler takes samplers for what they do where a trace begins: a trace that
// came in is followed, whatever the sampler.
func (l *loader) borrowSampler() {
	const name = "OTEL_TRACES_SAMPLER"
	text := l.environ[name]
	if text == "" || l.has("tracing.sample") {
		return
	}
	share := ""
	sampler, based := strings.CutPrefix(text, "parentbased_")
	switch sampler {
	case "always_on":
		share = "1"
	case "always_off":
		share = "0"
	case "traceidratio":
		if share = l.environ[name+"_ARG"]; share == "" {
			share = "1"
		}
		if of, err := strconv.ParseFloat(share, 64); err != nil || of < 0 || of > 1 {
			l.ignored(name+"_ARG", "a number from 0 to 1")
			return
		}
	default:
		l.ignored(name, "parentbased_always_on, parentbased_always_off or parentbased_traceidratio")
		return
	}
	if !based {
		l.warnings = append(l.warnings, Problem{Message: fmt.Sprintf("%s: is %s, and acts as parentbased_%s: a trace that comes in is recorded where its sender does", name, sampler, sampler)})
	}
	l.lend("tracing.sample", name, share)
}

func (l *loader) borrowPropagators() {
	const path, name = "tracing.propagators", "OTEL_PROPAGATORS"
	if l.environ[name] == "" || l.has(path) {
		return
	}
	var known []string
	for word := range strings.SplitSeq(l.environ[name], ",") {
		word = strings.TrimSpace(word)
		if !oneOf("tracecontext|b3|b3multi|baggage", word) {
			l.ignored(name, "tracecontext, b3, b3multi or baggage")
			continue
		}
		known = append(known, word)
	}
	if slices.ContainsFunc(known, func(word string) bool { return word != "baggage" }) {
		l.cfg.Tracing.Propagators, l.origins[path] = known, name
	}
}

// ignored warns of a variable that does nothing.
func (l *loader) ignored(name, want string) {
	l.warnings = append(l.warnings, Problem{Message: fmt.Sprintf("%s: want %s, found %s: it is not used", name, want, l.quoted(l.environ[name]))})
}

// checkTracing checks what takes more than one value.
func (l *loader) checkTracing() {
	t := &l.cfg.Tracing
	if t.Endpoint == "" {
		for _, key := range []string{"protocol", "sample", "propagators"} {
			if l.has(under("tracing", key)) && !l.failed["tracing.endpoint"] && !blankTracing(t, key) {
				l.warn(under("tracing", key), "has no effect: tracing is off without tracing.endpoint")
			}
		}
	} else if u, err := url.Parse(t.Endpoint); err == nil && t.Protocol == "grpc" && strings.Trim(u.Path, "/") != "" {
		l.fault("tracing.endpoint", "has a path, which gRPC has no use for: leave it out, or write protocol: http")
	}
	if t.Propagators != nil && !l.failed["tracing.propagators"] &&
		!slices.ContainsFunc(t.Propagators, func(word string) bool { return word != "baggage" }) {
		l.fault("tracing.propagators", "has none that carries a trace: want one of tracecontext, b3, b3multi")
	}
	seen := map[string]bool{}
	for i, word := range t.Propagators {
		if seen[word] {
			l.fault(item("tracing.propagators", i), "%s stands here twice", word)
		}
		seen[word] = true
	}
}

// blankTracing reports whether a key says what holds without it, as what we show does.
func blankTracing(t *Tracing, key string) bool { return key == "sample" && t.Sample == 0 }

// checkRouteTracing checks a route's share.
func (l *loader) checkRouteTracing(path string, r *Route) {
	at := under(path, "tracing")
	if r.Tracing == nil {
		return
	}
	if !l.has(under(at, "sample")) && !l.failed[at] {
		l.fault(at, "needs sample, from 0 to 1")
	}
	if l.cfg.Tracing.Endpoint == "" {
		l.warn(at, "has no effect: tracing is off without tracing.endpoint")
	}
}
