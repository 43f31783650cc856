package config

import (
	"time"
)

// RateLimiting bounds requests per client.
type RateLimiting struct {
	Key     string          `key:"key" is:"limit"`          // client_ip, header:N, subject
	Store   string          `key:"store" one:"local|redis"` // local, redis
	Default *Rate           `key:"default"`
	Paths   map[string]Rate `key:"paths"` // by glob, as written
}

// Rate is one token bucket.
type Rate struct {
	RequestsPerMinute int `key:"requests_per_minute" min:"1" max:"100000000"`
	Burst             int `key:"burst" min:"0" max:"100000000"`
	Line              int `json:"-"`
}

// Auth is forward authentication.
type Auth struct {
	ValidateURL string            `key:"validate_url" is:"url"`
	Timeout     time.Duration     `key:"timeout" min:"1ms"`
	CacheTTL    time.Duration     `key:"cache_ttl"`
	NegativeTTL time.Duration     `key:"negative_ttl"`
	MaxCached   int               `key:"max_cached" min:"1" max:"10000000"`
	Headers     map[string]string `key:"headers" is:"identity"` // field of the answer → header handed on
	Line        int               `json:"-"`
}

// JWT is authentication by signed token.
type JWT struct {
	JWKSURL         string            `key:"jwks_url" is:"url"`
	JWKSFile        string            `key:"jwks_file" is:"file"`
	Issuer          string            `key:"issuer"`
	Audience        []string          `key:"audience"`
	Algorithms      []string          `key:"algorithms"`
	Leeway          time.Duration     `key:"leeway"`
	ClaimsToHeaders map[string]string `key:"claims_to_headers" is:"identity"`
}

// CORS says which other origins' pages may call, in the words of the Gateway API's
// HTTPCORSFilter.
type CORS struct {
	AllowOrigins     []string `key:"allow_origins" is:"origin"` // "*", https://a.example, https://*.a.example
	AllowMethods     []string `key:"allow_methods" is:"method"`
	AllowHeaders     []string `key:"allow_headers" is:"header"`
	ExposeHeaders    []string `key:"expose_headers" is:"header"`
	AllowCredentials bool     `key:"allow_credentials"`
	MaxAge           Seconds  `key:"max_age"`
}

// Cache keeps responses.
type Cache struct {
	TTL      Seconds `key:"ttl"` // where the origin said nothing
	MaxBytes Size    `key:"max_bytes" min:"1"`
	MaxBody  Size    `key:"max_body" min:"1"`
	Store    string  `key:"store" one:"memory|redis"` // memory, redis
}

// Transform changes headers and bodies.
type Transform struct {
	Envelope bool       `key:"envelope"`
	Version  string     `key:"version"`
	MaxBody  Size       `key:"max_body" min:"1"`
	Request  HeaderEdit `key:"request"`
	Response HeaderEdit `key:"response"`
}

// HeaderEdit changes header fields: Remove, then Set, then Add.
type HeaderEdit struct {
	Set    map[string]string `key:"set" keys:"edit" is:"value"`
	Add    map[string]string `key:"add" keys:"edit" is:"value"`
	Remove []string          `key:"remove" is:"edit"`
}
