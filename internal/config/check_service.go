package config

import "strings"

// checkService checks what one service says.
func (l *loader) checkService(path string, s *Service) {
	l.checkWay(path, s)
	l.checkInstances(path, s)
	l.checkClientTLS(path, s)
	l.checkRetries(under(path, "retries"), s.Retries)
	if s.Timeout > 0 && s.PerTryTimeout > s.Timeout {
		l.warn(under(path, "per_try_timeout"), "is longer than timeout, which ends all attempts, and so never acts")
	}
	l.checkHealthCheck(under(path, "health_check"), s.HealthCheck)
	if s.LoadBalancing.HashOn != "" && s.LoadBalancing.Policy != "ring_hash" {
		l.fault(under(under(path, "load_balancing"), "hash_on"), "has no effect: only the policy ring_hash hashes")
	}
}

// checkWay checks that there is one way to find the service.
func (l *loader) checkWay(path string, s *Service) {
	ways := l.present(path, "url", "instances", "consul")
	switch {
	case len(ways) == 0 && s.Consul == nil:
		l.fault(path, "no url, no instances, and no consul block or CONSUL_HTTP_ADDR: where is it?")
	case len(ways) > 1:
		l.fault(path, "has %s: only one of them says where the service is", strings.Join(ways, " and "))
	case s.Consul == nil:
		return
	case l.cfg.Consul == nil:
		l.fault(under(path, "consul"), "there is no Consul to ask: neither a consul block nor CONSUL_HTTP_ADDR")
	}
}

func (l *loader) checkHealthCheck(path string, h *HealthCheck) {
	if h == nil {
		return
	}
	if h.Path == "" && !l.has(under(path, "path")) {
		l.fault(path, "needs a path, such as /health")
	}
	if h.Timeout > h.Interval {
		l.warn(under(path, "timeout"), "is longer than the interval")
	}
	if len(h.Expect) == 0 {
		l.fault(under(path, "expect"), "is empty: no answer could be a healthy one")
	}
}

// present returns those of the keys below path that somebody set.
func (l *loader) present(path string, keys ...string) []string {
	set := []string{}
	for _, key := range keys {
		if l.has(under(path, key)) {
			set = append(set, key)
		}
	}
	return set
}

func (l *loader) checkInstances(path string, s *Service) {
	path = under(path, "instances")
	if l.has(path) && s.Instances != nil && len(s.Instances) == 0 {
		l.fault(path, "is empty: the service could never answer")
	}
	first := map[string]int{}
	for i, e := range s.Instances {
		at := item(path, i)
		if e.URL == "" {
			if !l.has(under(at, "url")) {
				l.fault(at, "needs a url")
			}
			continue
		}
		if line, twice := first[e.URL]; twice {
			l.fault(under(at, "url"), "stands here twice: first in line %d", line)
			continue
		}
		first[e.URL] = e.Line
	}
}

// checkClientTLS checks that certificates come with keys, and that TLS is not only
// thought to be on. Of a service in Consul it is this block that says so.
func (l *loader) checkClientTLS(path string, s *Service) {
	path = under(path, "tls")
	if s.TLS == nil {
		return
	}
	l.checkPair(path)
	secure := s.Consul != nil || strings.HasPrefix(s.URL, "https:")
	for _, e := range s.Instances {
		secure = secure || strings.HasPrefix(e.URL, "https:")
	}
	if !secure {
		l.fault(path, "has no effect: none of the service's URLs is https")
	}
}

func (l *loader) checkPair(path string) {
	if has := l.present(path, "cert_file", "key_file"); len(has) == 1 {
		l.fault(path, "has %s alone: cert_file and key_file go together", has[0])
	}
}

func (l *loader) checkRetries(path string, r Retries) {
	if len(l.present(path, "base", "max")) > 0 && r.Max < r.Base {
		l.fault(path, "max (%v) is shorter than base (%v)", r.Max, r.Base)
	}
}
