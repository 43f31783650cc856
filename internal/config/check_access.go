package config

import (
	"errors"
	"strings"

	"outrider/internal/telemetry"
)

// checkAccess checks how lines of the access log are to read.
func (l *loader) checkAccess() {
	const path = "logging.access.format"
	access := l.cfg.Logging.Access
	_, err := telemetry.ParseLineFormat(access.Format)
	var unknown *telemetry.UnknownFieldError
	switch {
	case errors.As(err, &unknown):
		l.fault(path, "there is no field {%s}%s", shorten(unknown.Name), fieldAdvice(unknown.Name))
	case err != nil:
		l.fault(path, "%v, found %q", err, shorten(access.Format))
	}
	if !access.On && len(l.present("logging.access", "format", "sample", "slow", "buffer")) > 0 {
		l.warn("logging.access", "is switched off elsewhere, so that what stands here does nothing")
	}
}

// fieldAdvice tells which field of a line may have been meant.
func fieldAdvice(name string) string {
	known := telemetry.LineFields()
	if near := nearest(name, known); near != "" {
		return ", did you mean {" + near + "}?"
	}
	return ": known are {" + strings.Join(known, "}, {") + "}"
}
