package consul

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// register registers the service. It goes on when Run's context has ended.
func (s *registering) register(why reason) error {
	ctx, cancel := context.WithTimeout(s.late, s.patience())
	defer cancel()
	token, err := s.client.cfg.token() // before the request: what comes later is noticed at the next step
	if err != nil {
		return s.explain(ctx, "register", err)
	}
	// Without replace-existing-checks: it would remove the check by which an operator
	// has set maintenance mode.
	err = s.client.api.Agent().ServiceRegisterOpts(s.want.request(s.state()), api.ServiceRegisterOpts{}.WithContext(ctx))
	if err != nil {
		return s.explain(ctx, "register", err)
	}
	s.ever, s.have, s.renew, s.changed, s.token = true, true, false, false, token
	s.at = time.Now()
	if why != isNoted { // a note that changes again and again puts no look off
		s.beats = 0
	}
	switch why {
	case isTaken:
		s.fought = s.at
		s.log.Warn(string(why), "address", s.want.at(), "error", s.conflict)
	case isKept, isNoted:
		s.log.Debug(string(why))
	default:
		s.log.Info(string(why), "address", s.want.at())
	}
	return nil
}

// state returns Consul's word for what this step tells.
func (s *registering) state() string {
	if s.passing {
		return api.HealthPassing
	}
	return api.HealthCritical
}

// heartbeat tells the agent how the service is.
func (s *registering) heartbeat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	options := (&api.QueryOptions{}).WithContext(ctx)
	if err := s.client.api.Agent().UpdateTTLOpts(s.want.checkID(), s.note, s.state(), options); err != nil {
		return s.explain(ctx, "heartbeat of", err)
	}
	s.beats++
	now := s.Status()
	if now.Passing != s.passing {
		s.shown = s.note // the agent passes a change of state on at once
	}
	now.Passing, now.Note, now.Beat = s.passing, s.note, time.Now()
	s.status.Store(&now)
	return nil
}

// ask returns what the agent has under this ID; nil: nothing.
func (s *registering) ask(ctx context.Context) (*api.AgentService, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	has, _, err := s.client.api.Agent().Service(s.want.ID, (&api.QueryOptions{}).WithContext(ctx))
	switch {
	case statusOf(err) == http.StatusNotFound:
		return nil, nil
	case err != nil:
		return nil, s.explain(ctx, "look for", err)
	}
	return has, nil
}

// leave deregisters the service. What is registered under this ID by another process
// stays.
func (s *registering) leave() error {
	if s.at.IsZero() && s.failures == 0 {
		return nil // it never began
	}
	err := s.deregister()
	for try := 0; err != nil && !errors.Is(err, ErrDenied) && try < farewellMost; try++ {
		if !sleep(s.late, backoff(try)) {
			break
		}
		err = s.deregister()
	}
	if err != nil && s.ever {
		return fmt.Errorf("%w; the service is in the catalogue until the agent forgets it, %v after its last heartbeat, or is told: consul services deregister -id=%s",
			err, s.want.CheckTTL+s.want.DeregisterAfter, s.want.ID)
	}
	return nil
}

// deregister tries once.
func (s *registering) deregister() error {
	has, err := s.ask(s.late)
	switch {
	case err != nil:
		return err
	case has == nil && s.ever:
		s.log.Info("the agent has this service no longer")
	case has == nil:
	case s.want.elsewhere(has):
		s.log.Warn("not deregistered", "error", s.want.taken(has))
	default:
		ctx, cancel := context.WithTimeout(s.late, s.patience())
		defer cancel()
		if err := s.client.api.Agent().ServiceDeregisterOpts(s.want.ID, (&api.QueryOptions{}).WithContext(ctx)); err != nil {
			return s.explain(ctx, "deregister", err)
		}
		s.log.Info("deregistered")
	}
	s.have = false
	s.publish(nil)
	return nil
}

// patience bounds one request: a heartbeat that hangs must leave time for another.
func (s *registering) patience() time.Duration { return min(s.want.interval(), answerTime) }

// at is where the service is.
func (r Registration) at() string { return net.JoinHostPort(r.Address, strconv.Itoa(r.Port)) }

// taken returns who else is registered under this ID.
func (r Registration) taken(has *api.AgentService) error {
	return fmt.Errorf("%w %s: %s at %s, this one is %s at %s", ErrConflict, r.ID,
		has.Service, net.JoinHostPort(has.Address, strconv.Itoa(has.Port)), r.Name, r.at())
}

// statusOf returns the status of the agent's answer where err is one, and zero else.
func statusOf(err error) int {
	said, _ := errors.AsType[api.StatusError](err)
	return said.Code
}

// lacking reports whether a heartbeat may have failed since the agent does not know
// the check: it answers 404, and 500 where it is of another kind.
func lacking(err error) bool {
	code := statusOf(err)
	return code == http.StatusNotFound || code == http.StatusInternalServerError
}

// explain says what an error means for whoever configures this.
func (s *registering) explain(ctx context.Context, what string, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // it would repeat the whole URL
	}
	said, answered := errors.AsType[api.StatusError](err)
	switch {
	case answered && (said.Code == http.StatusForbidden || said.Code == http.StatusUnauthorized):
		err = fmt.Errorf("%w: the agent answers %d: %s: consul.token or consul.token_file must be a token that exists and has service:write for %q",
			ErrDenied, said.Code, strings.TrimRight(firstLine(said.Body), "."), s.want.Name)
	case answered && said.Code == http.StatusBadRequest:
		err = fmt.Errorf("the agent refuses the registration: %s", firstLine(said.Body))
	case answered:
		err = &answerError{said}
	case ctx.Err() != nil:
		err = fmt.Errorf("the agent gives no answer in time (%v)", s.patience())
	}
	return fmt.Errorf("consul %s: %s %s: %w", s.client.cfg.Address, what, s.want.Name, err)
}

// answerError says on one line what the agent answered.
type answerError struct{ api.StatusError }

// Error returns status and text.
func (e *answerError) Error() string {
	return fmt.Sprintf("the agent answers %d: %s", e.Code, firstLine(e.Body))
}

// Unwrap returns the library's error.
func (e *answerError) Unwrap() error { return e.StatusError }
