package consul

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

const (
	verifyEvery  = 10              // heartbeats
	farewell     = 5 * time.Second // from the end of Run's context to Run's
	farewellMost = 2               // more tries to deregister
)

// ErrConflict is what Status tells when another process had registered under this
// ID, until the agent has been seen to keep what Run then put in its place.
var ErrConflict = errors.New("another process has registered under this id")

// registering is the state of one Run.
type registering struct {
	*Registrar
	want Registration    // with defaults
	late context.Context // ends some time after Run's own
	log  *slog.Logger

	ever     bool      // the agent has once accepted a registration
	have     bool      // it still has it, as far as is known
	renew    bool      // a heartbeat alone does not do
	changed  bool      // want is another than was registered
	token    string    // what the registration was made with
	at       time.Time // when
	beats    int       // heartbeats since, or since it was verified
	conflict error     // an ErrConflict, until a later look finds none
	fought   time.Time // when another's registration was last replaced
	failures int       // in a row
	trouble  trouble   // the last that was logged
	passing  bool      // of this step
	note     string
	well     time.Time // when a step last found it passing
	shown    string    // the note that the servers have for it while it is not
	noted    time.Time // when they were last made to have it
}

// reason is why a registration is made; empty: none is needed.
type reason string

const (
	isNew       reason = "registered"
	isForgotten reason = "the agent had forgotten this service: registered again"
	isAltered   reason = "the registration had been altered: registered again"
	isCheckless reason = "the registration had lost its check: registered again"
	isChanged   reason = "the registration has changed: registered again"
	isRetried   reason = "registered again after a failure"
	isToken     reason = "the token is another: registered again"
	isNoted     reason = "registered again, so that the servers have the note"
	isKept      reason = "registered again, so that the agent keeps an unhealthy service whose sidecar lives"
	isTaken     reason = "another process had registered under this id and has been replaced: give each a service.id of its own"
)

// What the log tells apart besides denied and silent.
const (
	deniedHere trouble = "consul denies this service's registration, trying on"
	silentHere trouble = "consul does not take this service's registration or heartbeat, trying on"
	takenHere  trouble = "another process has registered under this id: give each a service.id of its own"
)

// step does what is due, and returns how long to pause and whether Beat ends that.
func (s *registering) step(ctx context.Context) (pause time.Duration, beats bool) {
	select {
	case <-s.beat: // what comes now tells it
	default:
	}
	if next := s.next.Swap(nil); next != nil {
		s.want, s.changed = *next, true
	}
	s.passing, s.note = s.health()
	s.note = firstLine(s.note)
	if s.passing {
		s.well = time.Now()
	}
	err := s.tell(ctx)
	switch {
	case ctx.Err() != nil:
		return 0, false
	case err != nil:
		return s.fail(err), false
	}
	s.succeed()
	return jitter(s.want.interval()), true
}

// tell makes the agent know what is so now: by a heartbeat, and by a registration
// before it where that is needed. The agent keeps the state of a check that it knows
// already, whatever the registration says, so the heartbeat follows always.
func (s *registering) tell(ctx context.Context) error {
	why := s.due()
	if why == "" {
		err := s.heartbeat(ctx)
		switch {
		case err == nil && s.beats < verifyEvery:
			return s.show()
		case err != nil && !lacking(err):
			return err
		}
		unknown := err != nil
		if why, err = s.verify(ctx); err != nil {
			return err
		}
		if why == "" && unknown {
			why = isCheckless
		}
		if why == "" {
			return nil
		}
	}
	if err := s.register(why); err != nil {
		return err
	}
	err := s.heartbeat(ctx)
	if why != isKept {
		s.shown = "" // whatever it was that the agent had
	}
	return err
}

// show makes the servers know why the service is not well. Of a heartbeat that
// changes nothing but the note the agent tells them minutes later; of a registration
// it tells them at once, with the note of the last heartbeat.
func (s *registering) show() error {
	if s.passing || s.note == s.shown || time.Since(s.noted) < s.want.CheckTTL {
		return nil
	}
	if err := s.register(isNoted); err != nil {
		return err
	}
	s.shown, s.noted = s.note, s.at
	return nil
}

// due returns why to register before the agent has been asked anything.
func (s *registering) due() reason {
	token, err := s.client.cfg.token()
	switch {
	case !s.ever:
		return isNew
	case s.changed:
		return isChanged
	case s.renew:
		return isRetried
	case err == nil && token != s.token:
		// The agent tells the servers of the service by the token of its registration, not
		// by that of a heartbeat.
		return isToken
	case !s.passing && time.Since(s.at) >= s.want.DeregisterAfter/2 && time.Since(s.well) >= s.want.DeregisterAfter/2:
		// The agent would remove the service, and with it an operator's maintenance mode. A
		// registration makes it count anew.
		return isKept
	}
	return ""
}

// verify asks what the agent has, and returns why to register anew.
func (s *registering) verify(ctx context.Context) (reason, error) {
	has, err := s.ask(ctx)
	if err != nil {
		return "", err
	}
	s.beats = 0
	if has != nil && s.want.elsewhere(has) {
		return s.fight(s.want.taken(has))
	}
	s.conflict = nil
	switch {
	case has == nil:
		s.have, s.renew = false, true
		return isForgotten, nil
	case s.want.altered(has):
		return isAltered, nil
	}
	return "", nil
}

// fight decides whether to replace another's registration: not more often than
// registrations are verified, give or take the jitter, since the other may do the
// same.
func (s *registering) fight(conflict error) (reason, error) {
	s.have, s.conflict = false, conflict
	if !s.fought.IsZero() && time.Since(s.fought) < verifyEvery*s.want.interval()*8/10 {
		return "", conflict
	}
	return isTaken, nil
}

// succeed takes note of a step that went well.
func (s *registering) succeed() {
	if s.trouble != none {
		s.log.Info("consul takes this service's heartbeat again")
	}
	s.failures, s.trouble = 0, none
	s.publish(s.conflict)
	select {
	case <-s.registered:
	default:
		close(s.registered)
	}
}

// fail takes note of a failure, and returns how long to pause: never longer than
// until the next heartbeat, for the agent's patience is CheckTTL.
func (s *registering) fail(err error) time.Duration {
	kind := silentHere
	switch {
	case errors.Is(err, ErrDenied):
		// The servers may have denied what the agent told them of the service, too. It tells
		// them again only after a registration.
		kind, s.renew = deniedHere, s.ever
	case errors.Is(err, ErrConflict):
		kind = takenHere
	}
	if s.trouble != kind {
		s.trouble = kind
		s.log.Warn(string(kind), "error", err)
	}
	s.publish(err)
	pause := backoff(s.failures)
	s.failures++
	if busy, ok := errors.AsType[*busyError](err); ok {
		pause = max(pause, busy.after)
	}
	return min(pause, jitter(s.want.interval()))
}

// publish makes the state known.
func (s *registering) publish(err error) {
	last := s.Status()
	now := last
	now.Registered, now.Err = s.have, err
	if now.Registered != last.Registered {
		now.Since = time.Now()
	}
	s.status.Store(&now)
}
