package transform

import (
	"net/http"
	"strings"
)

// enveloped reports whether a response of this status and type belongs in an
// envelope.
func enveloped(resp *http.Response) bool {
	status := resp.StatusCode
	if status < 200 || status > 299 {
		return false
	}
	switch status {
	case http.StatusNoContent, http.StatusResetContent, http.StatusPartialContent:
		return false
	}
	return isJSON(resp.Header.Get("Content-Type"))
}

// isJSON reports whether contentType is JSON that holds one document.
func isJSON(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	switch {
	case mediaType == "application/json":
		return true
	case mediaType == "application/problem+json": // a failure's shape is standard (RFC 9457)
		return false
	case strings.HasPrefix(mediaType, "application/grpc"): // grpc+json: frames, not a document
		return false
	}
	return strings.HasSuffix(mediaType, "+json")
}

// encoded reports whether the content is in another coding than its own.
func encoded(h http.Header) bool {
	for _, coding := range h["Content-Encoding"] {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			return true
		}
	}
	return false
}

// noTransform reports whether Cache-Control forbids intermediaries to change the
// content.
func noTransform(h http.Header) bool {
	for _, line := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(directive), "no-transform") {
				return true
			}
		}
	}
	return false
}
