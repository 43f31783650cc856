package examples

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Service is one instance of an example service.
type Service struct {
	Name    string       // the instance's name, in X-Instance
	Handler http.Handler // what it answers, /health and /quit aside
}

// Token is the one token that the auth service believes.
const Token = "test-token"

// Auth validates tokens and hands them out: POST /api/auth/login, GET /validate.
func Auth(name string) Service {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/auth/login", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{"token": Token})
	})
	mux.HandleFunc("GET /validate", func(w http.ResponseWriter, r *http.Request) {
		if strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") != Token {
			reply(w, http.StatusUnauthorized, map[string]any{"error": "unknown token"})
			return
		}
		reply(w, http.StatusOK, map[string]any{"id": "42", "role": "admin"})
	})
	return Service{Name: name, Handler: mux}
}

// Users lists users and says who asks: GET /api/users, /api/users/me, /api/users/{id}.
// With a peer, it asks that for a user's orders: GET /api/users/{id}/orders.
func Users(name string, orders ...Peer) Service {
	names := map[string]string{"1": "Ada", "2": "Grace", "42": "Barbara"}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/users", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{"users": names})
	})
	mux.HandleFunc("GET /api/users/me", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, map[string]any{"id": r.Header.Get("X-User-Id"), "role": r.Header.Get("X-User-Role")})
	})
	mux.HandleFunc("GET /api/users/{id}", func(w http.ResponseWriter, r *http.Request) {
		user, ok := names[r.PathValue("id")]
		if !ok {
			reply(w, http.StatusNotFound, map[string]any{"error": "no such user"})
			return
		}
		reply(w, http.StatusOK, map[string]any{"id": r.PathValue("id"), "name": user})
	})
	for _, peer := range orders {
		mux.HandleFunc("GET /api/users/{id}/orders", func(w http.ResponseWriter, r *http.Request) { peer.pass(w, r, "/api/orders") })
	}
	return Service{Name: name, Handler: mux}
}

// Orders lists and takes orders: GET and POST /api/orders. GET /api/orders/broken
// always fails, so that a circuit breaker has something to do.
func Orders(name string) Service {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/orders", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, map[string]any{"user": r.Header.Get("X-User-Id"), "orders": []string{"tea", "cake"}})
	})
	mux.HandleFunc("POST /api/orders", func(w http.ResponseWriter, r *http.Request) {
		var order map[string]any
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&order); err != nil {
			reply(w, http.StatusBadRequest, map[string]any{"error": "an order is a JSON object"})
			return
		}
		reply(w, http.StatusCreated, map[string]any{"ordered": order})
	})
	mux.HandleFunc("GET /api/orders/broken", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusInternalServerError, map[string]any{"error": "the kitchen is on fire"})
	})
	return Service{Name: name, Handler: mux}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone; there is nobody else to tell
}
