package config

import (
	"maps"
	"reflect"
	"slices"
	"time"
)

// The middleware that a route may list.
const (
	MiddlewareCORS           = "cors"
	MiddlewareRateLimit      = "rate-limit"
	MiddlewareAuth           = "auth"
	MiddlewareTransform      = "transform"
	MiddlewareCache          = "cache"
	MiddlewareCircuitBreaker = "circuit-breaker"
)

// Middlewares returns the names that a route may list, in the order in which they
// act, whatever order the list has. A rate limit by subject is the exception: it
// acts after auth, which finds the subject.
func Middlewares() []string {
	return []string{
		MiddlewareCORS,           // a browser's preflight bears no token
		MiddlewareRateLimit,      // a flood of strangers never reaches the auth service
		MiddlewareAuth,           // above what costs or reveals something
		MiddlewareTransform,      // above the cache: what is kept is what the service said
		MiddlewareCache,          // below auth: a hit leaks nothing
		MiddlewareCircuitBreaker, // counts attempts, so a hit is none
	}
}

// Defaults returns the configuration of an empty file. What is off, such as tracing, has
// no defaults: shown, they would promise something.
func Defaults() *Config {
	return &Config{
		Server:         Server{Host: "0.0.0.0", Port: 8080},
		Services:       map[string]*Service{},
		RateLimiting:   RateLimiting{Key: "client_ip", Store: "local"},
		CircuitBreaker: Breaker{FailureThreshold: 5, RecoveryTimeout: 30 * time.Second, SuccessThreshold: 3},
		Auth: Auth{
			ValidateURL: "http://auth-service/validate",
			Timeout:     2 * time.Second,
			CacheTTL:    10 * time.Second,
			NegativeTTL: time.Second,
			MaxCached:   10000,
			Headers:     map[string]string{"id": "X-User-Id", "role": "X-User-Role"},
		},
		CORS: CORS{
			AllowOrigins: []string{"*"},
			AllowMethods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"},
			MaxAge:       Seconds(5 * time.Second),
		},
		Cache:     Cache{TTL: Seconds(300 * time.Second), MaxBytes: 64 << 20, MaxBody: 1 << 20, Store: "memory"},
		Transform: Transform{MaxBody: 1 << 20},
		Limits: Limits{
			HeaderBytes:       64 << 10,
			HeaderCount:       100,
			URIBytes:          16 << 10,
			Connections:       20000,
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       time.Minute,
		},
		Identity: Identity{Provider: "none", MTLS: "off"},
		Redis:    Redis{Budget: 5 * time.Millisecond},
		Admin:    Admin{Listen: "127.0.0.1:15000"},
		Logging:  Logging{Level: "info", Access: Access{On: true, Format: "json", Sample: 1, Buffer: 4 << 20}},
		Shutdown: Shutdown{Grace: 30 * time.Second},
	}
}

// DefaultService returns a service of which the file says nothing but its name.
func DefaultService() *Service {
	return &Service{
		Timeout:        30 * time.Second,
		ConnectTimeout: time.Second,
		IdleTimeout:    time.Minute,
		Retries:        defaultRetries(),
		LoadBalancing:  LoadBalancing{Policy: "p2c", PanicThreshold: 50, ZoneFirst: true},
		Outlier:        &Outlier{ConsecutiveFailures: 5, BaseEjection: 30 * time.Second, MaxEjectedPercent: 50},
		MaxConnections: 1024,
		MaxPending:     1024,
		Host:           "preserve",
	}
}

func defaultRetries() Retries {
	return Retries{
		Attempts: 2,
		On:       []string{"connect", "reset", "502", "503", "504"},
		Base:     25 * time.Millisecond,
		Max:      250 * time.Millisecond,
		Budget:   RetryBudget{Percent: 20, Min: 3},
	}
}

// blank returns a block of type t before the file has said anything about it.
func blank(t reflect.Type) reflect.Value {
	var block any
	switch reflect.Zero(t).Interface().(type) {
	case Service:
		block = *DefaultService()
	case ServerTLS:
		block = ServerTLS{MinVersion: "1.2"}
	case Endpoint:
		block = Endpoint{Weight: 1}
	case ConsulService:
		block = ConsulService{Connect: "auto"}
	case HealthCheck:
		ok := []StatusRange{{From: 200, To: 299}}
		block = HealthCheck{Interval: 30 * time.Second, Timeout: 2 * time.Second, Healthy: 1, Unhealthy: 3, Expect: ok}
	case Weighted:
		block = Weighted{Weight: 1}
	case Redirect:
		block = Redirect{Status: 302}
	case Respond:
		block = Respond{Status: 200}
	case JWT:
		block = JWT{Algorithms: []string{"RS256", "ES256", "EdDSA"}, Leeway: 30 * time.Second}
	case Instance:
		block = Instance{Weight: 1}
	case Inbound:
		block = Inbound{Listen: "0.0.0.0:15006"}
	case Outbound:
		block = Outbound{Listen: "127.0.0.1:15001", Undeclared: "reject"}
	case Consul:
		block = Consul{Address: "127.0.0.1:8500", Scheme: "http", Register: true, Stale: true, MaxWatches: 64}
	}
	v := reflect.New(t).Elem()
	if block != nil {
		v.Set(reflect.ValueOf(block))
	}
	return v
}

// blankOf returns a block of which nothing is said.
func blankOf[T any]() *T {
	block, _ := blank(reflect.TypeFor[T]()).Interface().(T)
	return &block
}

// arrange returns names as a set, in the order in which they act.
func arrange(names []string) []string {
	listed := map[string]bool{}
	for _, name := range names {
		listed[name] = true
	}
	return slices.DeleteFunc(Middlewares(), func(name string) bool { return !listed[name] })
}

// sorted returns the keys of m in order, so that what is reported is the same
// every time.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
