package discovery

// What the tests of the snapshots' format need from inside.
var (
	EncodeSnapshot = encodeSnapshot
	DecodeSnapshot = decodeSnapshot
	Seal           = seal
	FileName       = fileName
)
