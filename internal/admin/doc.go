// Package admin is the operator's port: health, metrics, the configuration in use,
// the services and their endpoints, the log level, reload and profiles, and a page
// that shows them. It listens on nothing, starts no goroutine, and knows no other
// part of the proxy: it shows what the functions in its Config return.
//
//	handler := admin.New(admin.Config{
//		Version:  version,
//		Ready:    app.Missing,
//		Metrics:  telemetry.Handler(),
//		Services: app.ServicesView,
//		Reload:   app.Reload,
//	})
//
// # Paths
//
//	GET  /live           200, or 503 when the process should be restarted
//	GET  /ready          200, or 503 with what is missing
//	GET  /metrics        Prometheus
//	GET  /config         the configuration in use, as JSON without secrets
//	GET  /services       services and endpoints, as JSON
//	GET  /explain        what a request would meet: ?method=GET&url=http://shop/x&header=Name:+value
//	POST /explain        the same, asked in JSON
//	GET  /why            what was decided about a request: ?id= and its X-Request-ID
//	GET  /log-level      the log's level
//	POST /log-level      changes it: level=debug, info, warn or error
//	POST /reload         reads the configuration again
//	GET  /debug/pprof/   profiles
//	GET  /               a page for people
//
// A path whose field in Config is nil does not exist.
//
// # Who may ask
//
// The port is for this machine alone, and its browsers run other people's pages. So
// the Host must be a loopback name or address (a page that rebinds its own name to
// 127.0.0.1 comes under that name); what a page of another site asks for is
// refused, and only POST changes anything. With a token every path but /live and
// /ready asks for it; an empty token is nobody's. [Probe] is the part that may be
// open to the network.
package admin
