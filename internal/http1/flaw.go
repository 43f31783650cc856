package http1

import (
	"errors"

	"outrider/internal/mesh"
)

// flaw is what is wrong with the bytes of a message. The zero flaw is none.
type flaw uint8

const (
	sound flaw = iota
	headTooLong
	lineTooLong
	startTooLong
	tooManyFields
	bareLF
	bareCR
	badByte
	emptyLine
	badStartLine
	badMethod
	badTarget
	targetForm
	badVersion
	badStatus
	folded
	badName
	badValue
	badHost
	manyHosts
	noHost
	badLength
	manyLengths
	badCoding
	codingBefore11
	lengthAndCoding
	bodyNotAllowed
	badExpect
	badTrailer
	badChunkSize
	chunkExtension
	badChunkEnd
	trailerTooLong
	flaws // how many there are
)

// flawTable says what each flaw is answered with.
var flawTable = [flaws]struct {
	request, response mesh.Kind
	text              string
}{
	sound:           {mesh.Internal, mesh.Internal, "Nothing is wrong."},
	headTooLong:     {mesh.HeaderTooLarge, mesh.ResponseTooLarge, "The header is too large."},
	lineTooLong:     {mesh.HeaderTooLarge, mesh.ResponseTooLarge, "A header field is too large."},
	startTooLong:    {mesh.URITooLong, mesh.ResponseTooLarge, "The first line is too long."},
	tooManyFields:   {mesh.HeaderTooLarge, mesh.ResponseTooLarge, "There are too many header fields."},
	bareLF:          {mesh.Malformed, mesh.BadResponse, "A line ends with LF alone: it must end with CR LF."},
	bareCR:          {mesh.Malformed, mesh.BadResponse, "A line has a CR that no LF follows."},
	badByte:         {mesh.Malformed, mesh.BadResponse, "The header has a control character."},
	emptyLine:       {mesh.Malformed, mesh.BadResponse, "The message begins with an empty line."},
	badStartLine:    {mesh.Malformed, mesh.BadResponse, "The first line is not valid."},
	badMethod:       {mesh.Malformed, mesh.BadResponse, "The method is not valid."},
	badTarget:       {mesh.Malformed, mesh.BadResponse, "The request target is not valid."},
	targetForm:      {mesh.Malformed, mesh.BadResponse, "The request target does not suit the method."},
	badVersion:      {mesh.Malformed, mesh.BadResponse, "The HTTP version is not 1.0 or 1.1."},
	badStatus:       {mesh.Malformed, mesh.BadResponse, "The status is not a number from 100 to 999."},
	folded:          {mesh.Malformed, mesh.BadResponse, "A header line begins with white space."},
	badName:         {mesh.Malformed, mesh.BadResponse, "A header field's name is not valid."},
	badValue:        {mesh.Malformed, mesh.BadResponse, "A header field's value has a control character."},
	badHost:         {mesh.Malformed, mesh.BadResponse, "The host is not valid."},
	manyHosts:       {mesh.Malformed, mesh.BadResponse, "There is more than one Host."},
	noHost:          {mesh.Malformed, mesh.BadResponse, "The Host is missing."},
	badLength:       {mesh.Malformed, mesh.BadResponse, "The Content-Length is not valid."},
	manyLengths:     {mesh.Malformed, mesh.BadResponse, "There is more than one Content-Length."},
	badCoding:       {mesh.Malformed, mesh.BadResponse, "The Transfer-Encoding is not chunked."},
	codingBefore11:  {mesh.Malformed, mesh.BadResponse, "HTTP/1.0 has no Transfer-Encoding."},
	lengthAndCoding: {mesh.Malformed, mesh.BadResponse, "There are both a Content-Length and a Transfer-Encoding."},
	bodyNotAllowed:  {mesh.Malformed, mesh.BadResponse, "The status allows no body, and the header announces one."},
	badExpect:       {mesh.Malformed, mesh.BadResponse, "The Expect is not 100-continue."},
	badTrailer:      {mesh.Malformed, mesh.BadResponse, "The Trailer has a field that may not be one."},
	badChunkSize:    {mesh.Malformed, mesh.BadResponse, "A chunk's size is not valid."},
	chunkExtension:  {mesh.Malformed, mesh.BadResponse, "A chunk has an extension."},
	badChunkEnd:     {mesh.Malformed, mesh.BadResponse, "A chunk is not as long as it says."},
	trailerTooLong:  {mesh.HeaderTooLarge, mesh.ResponseTooLarge, "The trailer section is too large."},
}

// fault returns the Fault of a flaw in a request, or in a response; nil for sound.
// The client is told what is wrong with what it sent; what is wrong with an
// endpoint's answer is for the log.
func (f flaw) fault(response bool) *mesh.Fault {
	row := &flawTable[f]
	switch {
	case f == sound:
		return nil
	case response:
		return &mesh.Fault{Kind: row.response, Err: errors.New(row.text)}
	}
	return &mesh.Fault{Kind: row.request, Message: row.text}
}
