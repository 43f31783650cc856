package consul

import "net/http"

// What tests of the bounds need to know.
const (
	PollsAtOnce = pollsAtOnce
	PollEvery   = pollEvery
	LongWait    = longWait
	AnswerTime  = answerTime
	Floor       = floor
	BackoffMost = backoffMost
	MaxAnswer   = 1 << 20 // through Speak
	MaxNote     = maxNote
)

// Speak makes c send its requests through next, so that no socket is needed.
func (c *Client) Speak(next http.RoundTripper) error { return c.speak(next, MaxAnswer) }
