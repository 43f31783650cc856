package admin

import (
	"cmp"
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

func (p *port) live(w http.ResponseWriter, r *http.Request) {
	var faults []string
	if p.cfg.Live != nil {
		if err := p.cfg.Live(); err != nil {
			faults = append(faults, err.Error())
		}
	}
	state(w, r, faults)
}

func (p *port) ready(w http.ResponseWriter, r *http.Request) { state(w, r, p.missing()) }

func (p *port) missing() []string {
	if p.cfg.Ready == nil {
		return nil
	}
	return p.cfg.Ready()
}

// state answers 200 or, with reasons, 503: in plain text, which is what a person
// with curl and an orchestrator's event show best, or in JSON when asked.
func state(w http.ResponseWriter, r *http.Request, reasons []string) {
	status, word := http.StatusOK, "ok"
	if len(reasons) > 0 {
		status, word = http.StatusServiceUnavailable, "unavailable"
	}
	w.Header().Set("Vary", "Accept")
	if wantsJSON(r) {
		answer(w, status, struct {
			Status  string   `json:"status"`
			Reasons []string `json:"reasons,omitempty"`
		}{word, reasons})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(strings.Join(append([]string{word}, reasons...), "\n") + "\n"))
}

func (p *port) config(w http.ResponseWriter, _ *http.Request) {
	shown, err := redact(p.cfg.Config())
	if err != nil {
		p.cfg.Log.Error("the configuration could not be shown", slog.Any("error", err))
		problem(w, http.StatusInternalServerError, "The configuration could not be shown; the log says why.")
		return
	}
	answer(w, http.StatusOK, shown)
}

func (p *port) services(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, struct {
		Services []Service `json:"services"`
	}{p.sorted()})
}

// sorted returns the services by name, and none as an empty list.
func (p *port) sorted() []Service {
	services := []Service{}
	if p.cfg.Services != nil {
		services = append(services, p.cfg.Services()...)
	}
	for i := range services {
		if services[i].Endpoints == nil {
			services[i].Endpoints = []Endpoint{}
		}
	}
	slices.SortStableFunc(services, func(a, b Service) int { return cmp.Compare(a.Name, b.Name) })
	return services
}

func (p *port) logLevel(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		level, ok := levelOf(r.FormValue("level"))
		if !ok {
			problem(w, http.StatusBadRequest, "Send level=debug, info, warn or error.")
			return
		}
		before := p.cfg.Level.Level()
		p.cfg.Level.Set(level)
		p.cfg.Log.Warn("log level changed", slog.String("from", before.String()), slog.String("to", level.String()))
	}
	answer(w, http.StatusOK, struct {
		Level string `json:"level"`
	}{strings.ToLower(p.cfg.Level.Level().String())})
}

// levelOf knows the levels of logging.level, and not slog's further spellings.
func levelOf(name string) (level slog.Level, ok bool) {
	switch name {
	case "debug":
		return slog.LevelDebug, true
	case "info":
		return slog.LevelInfo, true
	case "warn":
		return slog.LevelWarn, true
	case "error":
		return slog.LevelError, true
	}
	return 0, false
}

func (p *port) reload(w http.ResponseWriter, r *http.Request) {
	if err := p.cfg.Reload(r.Context()); err != nil {
		problem(w, http.StatusUnprocessableEntity, "The configuration was refused, and the one before stays: "+err.Error())
		return
	}
	answer(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}

// going answers before what begins has ended: it may well take this connection along.
func (p *port) going(how string, begin func()) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		p.cfg.Log.Warn("asked at the admin port to go", slog.String("how", how))
		begin()
		answer(w, http.StatusAccepted, struct {
			Status string `json:"status"`
		}{how})
	}
}
