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
	w.Header().Set("Vary", "Accept")
	if wantsJSON(r) {
		answer(w, http.StatusOK, said)
		return
	}
	text(w, said.Text())
}

// text answers in plain text.
func text(w http.ResponseWriter, said string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(said)) // a client that left is no fault of ours
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
