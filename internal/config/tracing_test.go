package config_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"outrider/internal/config"
)

// What the file says, and what OpenTelemetry's own variables say where it is silent.
func TestTracing(t *testing.T) {
	const http = "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
	both := []string{"tracecontext", "b3"}
	for _, tt := range []struct {
		name    string
		file    string
		environ []string
		want    config.Tracing
		warning string // the beginning of the one there is, "" for none
	}{
		{name: "off"},
		{name: "off, with variables that say nothing alone", environ: []string{http, "OTEL_TRACES_SAMPLER=always_on", "OTEL_PROPAGATORS=b3", "OTEL_SERVICE_NAME=a"}},
		{name: "defaults", file: "endpoint: 'otel:4317'", want: config.Tracing{Endpoint: "http://otel:4317", Protocol: "grpc", Sample: 0.01, Propagators: both}},
		{name: "all said", file: "endpoint: 'https://otel', protocol: grpc, sample: 0, propagators: [b3multi]", want: config.Tracing{Endpoint: "https://otel", Protocol: "grpc", Propagators: []string{"b3multi"}}},
		{name: "http has a path", file: "endpoint: 'http://otel:4318/', protocol: http", want: config.Tracing{Endpoint: "http://otel:4318/v1/traces", Protocol: "http", Sample: 0.01, Propagators: both}},
		{name: "http with a path of its own", file: "endpoint: 'http://otel:4318/x', protocol: http", want: config.Tracing{Endpoint: "http://otel:4318/x", Protocol: "http", Sample: 0.01, Propagators: both}},
		{name: "an endpoint by variable", environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:4317"}, want: config.Tracing{Endpoint: "http://otel:4317", Protocol: "grpc", Sample: 0.01, Propagators: both}},
		{name: "an endpoint by variable, over http", environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:4318/base/", http}, want: config.Tracing{Endpoint: "http://otel:4318/base/v1/traces", Protocol: "http", Sample: 0.01, Propagators: both}},
		{name: "an endpoint for traces", environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://otel:2/x", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, want: config.Tracing{Endpoint: "http://otel:2/x", Protocol: "http", Sample: 0.01, Propagators: both}},
		{name: "the file says off", file: "endpoint: ''", environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:4317"}},
		{name: "disabled", environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:4317", "OTEL_SDK_DISABLED=true"}},
		{name: "no exporter", environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:4317", "OTEL_TRACES_EXPORTER=none"}},
		{name: "our own variable", environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:4317", "OUTRIDER_TRACING_ENDPOINT=ours:1", "OUTRIDER_TRACING_PROPAGATORS=b3,baggage"}, want: config.Tracing{Endpoint: "http://ours:1", Protocol: "grpc", Sample: 0.01, Propagators: []string{"b3", "baggage"}}},
		{name: "a bad endpoint", environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=unix:/x"}, warning: "OTEL_EXPORTER_OTLP_ENDPOINT: want host:port, or"},
		{name: "a bad protocol", file: "endpoint: 'otel:1'", environ: []string{"OTEL_EXPORTER_OTLP_PROTOCOL=http/json"}, want: config.Tracing{Endpoint: "http://otel:1", Protocol: "grpc", Sample: 0.01, Propagators: both}},
		{name: "a bad protocol that counts", environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:1", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"}, want: config.Tracing{Endpoint: "http://otel:1", Protocol: "grpc", Sample: 0.01, Propagators: both}, warning: "OTEL_EXPORTER_OTLP_PROTOCOL: want grpc or http/protobuf"},
		{name: "always on", file: "endpoint: 'otel:1'", environ: []string{"OTEL_TRACES_SAMPLER=parentbased_always_on"}, want: config.Tracing{Endpoint: "http://otel:1", Protocol: "grpc", Sample: 1, Propagators: both}},
		{name: "always off", file: "endpoint: 'otel:1'", environ: []string{"OTEL_TRACES_SAMPLER=parentbased_always_off"}, want: config.Tracing{Endpoint: "http://otel:1", Protocol: "grpc", Propagators: both}},
		{name: "a share", file: "endpoint: 'otel:1'", environ: []string{"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.25"}, want: config.Tracing{Endpoint: "http://otel:1", Protocol: "grpc", Sample: 0.25, Propagators: both}},
		{name: "a share unsaid", file: "endpoint: 'otel:1'", environ: []string{"OTEL_TRACES_SAMPLER=parentbased_traceidratio"}, want: config.Tracing{Endpoint: "http://otel:1", Protocol: "grpc", Sample: 1, Propagators: both}},
		{name: "the file's share", file: "endpoint: 'otel:1', sample: 0.5", environ: []string{"OTEL_TRACES_SAMPLER=parentbased_always_on"}, want: config.Tracing{Endpoint: "http://otel:1", Protocol: "grpc", Sample: 0.5, Propagators: both}},
		{name: "not based on the parent", file: "endpoint: 'otel:1'", environ: []string{"OTEL_TRACES_SAMPLER=always_on"}, want: config.Tracing{Endpoint: "http://otel:1", Protocol: "grpc", Sample: 1, Propagators: both}, warning: "OTEL_TRACES_SAMPLER: is always_on, and acts as parentbased_always_on"},
		{name: "another sampler", file: "endpoint: 'otel:1'", environ: []string{"OTEL_TRACES_SAMPLER=jaeger_remote"}, want: config.Tracing{Endpoint: "http://otel:1", Protocol: "grpc", Sample: 0.01, Propagators: both}, warning: "OTEL_TRACES_SAMPLER: want parentbased_always_on, "},
		{name: "a bad share", file: "endpoint: 'otel:1'", environ: []string{"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=2"}, want: config.Tracing{Endpoint: "http://otel:1", Protocol: "grpc", Sample: 0.01, Propagators: both}, warning: "OTEL_TRACES_SAMPLER_ARG: want a number from 0 to 1"},
		{name: "propagators", file: "endpoint: 'otel:1'", environ: []string{"OTEL_PROPAGATORS=b3, baggage"}, want: config.Tracing{Endpoint: "http://otel:1", Protocol: "grpc", Sample: 0.01, Propagators: []string{"b3", "baggage"}}},
		{name: "another propagator", file: "endpoint: 'otel:1'", environ: []string{"OTEL_PROPAGATORS=xray,b3multi"}, want: config.Tracing{Endpoint: "http://otel:1", Protocol: "grpc", Sample: 0.01, Propagators: []string{"b3multi"}}, warning: "OTEL_PROPAGATORS: want tracecontext, "},
		{name: "no propagator", file: "endpoint: 'otel:1'", environ: []string{"OTEL_PROPAGATORS=baggage"}, want: config.Tracing{Endpoint: "http://otel:1", Protocol: "grpc", Sample: 0.01, Propagators: both}},
		{name: "the file's propagators", file: "endpoint: 'otel:1', propagators: [b3]", environ: []string{"OTEL_PROPAGATORS=tracecontext"}, want: config.Tracing{Endpoint: "http://otel:1", Protocol: "grpc", Sample: 0.01, Propagators: []string{"b3"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := "services: {a: {url: 'http://a'}}\nrouting: [{path: /a, service: a}]\n"
			if tt.file != "" {
				text += "tracing: {" + tt.file + "}\n"
			}
			load := func(text string, environ []string) *config.Config {
				c, err := config.Load(config.Options{File: "g.yml", Environ: environ, ReadFile: func(string) ([]byte, error) { return []byte(text), nil }})
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			c := load(text, tt.environ)
			if !reflect.DeepEqual(c.Tracing, tt.want) {
				t.Errorf("got %+v, want %+v", c.Tracing, tt.want)
			}
			warnings := c.Warnings()
			if tt.warning == "" && len(warnings) > 0 || tt.warning != "" && (len(warnings) != 1 || !strings.HasPrefix(warnings[0].Message, tt.warning)) {
				t.Errorf("warnings: %v", warnings)
			}
			shown, err := json.Marshal(c.Redacted())
			if err != nil {
				t.Fatal(err)
			}
			if again := load(string(shown), nil); !reflect.DeepEqual(again.Tracing, c.Tracing) {
				t.Errorf("what is shown loads as %+v, and not as %+v", again.Tracing, c.Tracing)
			} else if len(again.Warnings()) > 0 {
				t.Errorf("what is shown has warnings: %v", again.Warnings())
			}
		})
	}
}
