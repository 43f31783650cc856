package admin

import (
	"encoding/json"
	"errors"
	"net/http"

	"outrider/internal/explain"
)

// explain answers in text, which is what a person with curl and the command want, or in
// JSON when asked.
func (p *port) explain(w http.ResponseWriter, r *http.Request) {
	q, err := question(r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		problem(w, http.StatusRequestEntityTooLarge, "The question is too large.")
		return
	case err != nil:
		problem(w, http.StatusBadRequest, `The question is not the JSON that is asked for, such as {"method":"GET","url":"http://shop/api"}: `+err.Error())
		return
	case q.URL == "":
		problem(w, http.StatusBadRequest, "Say which url is meant, such as /explain?method=GET&url=http://shop/api")
		return
	}
	said, err := p.cfg.Explain(r.Context(), q)
	if err != nil {
		problem(w, http.StatusUnprocessableEntity, "This cannot be explained: "+err.Error())
		return
	}
	either(w, r, http.StatusOK, said)
}

// why answers likewise. That nothing is known of a request is 404.
func (p *port) why(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	if id == "" {
		problem(w, http.StatusBadRequest, "Say which request is meant by its X-Request-ID, as in /why?id=…")
		return
	}
	said := p.cfg.Why(r.Context(), id)
	status := http.StatusOK
	if len(said.Records) == 0 {
		status = http.StatusNotFound
	}
	either(w, r, status, said)
}

// either answers in JSON when asked, and else in text.
func either(w http.ResponseWriter, r *http.Request, status int, said interface{ Text() string }) {
	w.Header().Set("Vary", "Accept")
	if wantsJSON(r) {
		answer(w, status, said)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(said.Text())) // a client that left is no fault of ours
}

// question reads what is asked from the query or, where it is posted, from the body.
func question(r *http.Request) (explain.Question, error) {
	if r.Method != http.MethodPost {
		query := r.URL.Query()
		return explain.Question{
			Method: query.Get("method"), URL: query.Get("url"), Headers: query["header"],
			Client: query.Get("client"), Direction: query.Get("direction"),
		}, nil
	}
	var q explain.Question
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(&q)
	return q, err
}
