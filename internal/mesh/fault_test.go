package mesh_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"testing"

	"outrider/internal/mesh"
)

// RFC 9209, section 2.3: the error types that the registry began with.
var tokens = map[string]bool{
	"dns_timeout": true, "dns_error": true, "destination_not_found": true, "destination_unavailable": true,
	"destination_ip_prohibited": true, "destination_ip_unroutable": true, "connection_refused": true,
	"connection_terminated": true, "connection_timeout": true, "connection_read_timeout": true,
	"connection_write_timeout": true, "connection_limit_reached": true, "tls_protocol_error": true,
	"tls_certificate_error": true, "tls_alert_received": true, "http_request_error": true,
	"http_request_denied": true, "http_response_incomplete": true, "http_response_header_section_size": true,
	"http_response_header_size": true, "http_response_body_size": true, "http_response_trailer_section_size": true,
	"http_response_trailer_size": true, "http_response_transfer_coding": true, "http_response_content_coding": true,
	"http_response_timeout": true, "http_upgrade_failed": true, "http_protocol_error": true,
	"proxy_internal_response": true, "proxy_internal_error": true, "proxy_configuration_error": true,
	"proxy_loop_detected": true,
}

func TestEveryKindHasItsWholeRow(t *testing.T) {
	word := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	seen := map[string]mesh.Kind{}
	for _, k := range mesh.Kinds() {
		if !word.MatchString(k.Code()) {
			t.Errorf("kind %d: code %q is not a plain word", int(k), k.Code())
		}
		if other, ok := seen[k.Code()]; ok {
			t.Errorf("kinds %d and %d share the code %q", int(other), int(k), k.Code())
		}
		seen[k.Code()] = k
		if k.Status() < 400 || k.Status() > 599 {
			t.Errorf("%s: status %d is no failure", k, k.Status())
		}
		if k != mesh.ClientGone && http.StatusText(k.Status()) == "" {
			t.Errorf("%s: status %d is not a registered one", k, k.Status())
		}
		if k.GRPC() < 1 || k.GRPC() > 16 {
			t.Errorf("%s: gRPC status %d", k, k.GRPC())
		}
		if !tokens[k.Token()] {
			t.Errorf("%s: %q is not an error type of RFC 9209", k, k.Token())
		}
		if k.Text() == "" {
			t.Errorf("%s: no text", k)
		}
	}
}

func TestUnknownKindIsOurOwnMistake(t *testing.T) {
	for _, k := range []mesh.Kind{-1, 999} {
		if got := k.Code(); got != "internal" {
			t.Errorf("Kind(%d).Code() = %q, want internal", int(k), got)
		}
	}
}

func TestAsFault(t *testing.T) {
	cause := errors.New("connection refused")
	refused := &mesh.Fault{Kind: mesh.Refused, Err: cause}
	if got := mesh.AsFault(fmt.Errorf("attempt 2: %w", refused)); got != refused {
		t.Errorf("a wrapped fault: got %v", got)
	}
	got := mesh.AsFault(cause)
	if got.Kind != mesh.Internal || !errors.Is(got, cause) {
		t.Errorf("another error: got %v, want an internal fault around it", got)
	}
	if got, want := refused.Error(), "refused: connection refused"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if got, want := (&mesh.Fault{Kind: mesh.Unauthenticated, Message: "Token required"}).Error(), "unauthenticated: Token required"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}
