package http1

// seeds are requests with their bodies from the RFCs, and some that are at the edge
// of what is allowed.
var seeds = []string{
	lines("GET /hello.txt HTTP/1.1", "User-Agent: curl/7.64.1", "Host: www.example.com", "Accept-Language: en, mi"),
	lines("GET /where?q=now HTTP/1.1", "Host: www.example.org"),
	lines("GET http://www.example.org/pub/WWW/TheProject.html HTTP/1.1", "Host: www.example.org"),
	lines("GET https://[2001:db8::1]:8443?q HTTP/1.1", "Host: a"),
	lines("CONNECT www.example.com:80 HTTP/1.1", "Host: www.example.com"),
	lines("OPTIONS * HTTP/1.1", "Host: www.example.org:8001"),
	lines("OPTIONS http://www.example.org:8001 HTTP/1.1", "Host: www.example.org:8001"),
	lines("GET / HTTP/1.0"),
	lines("GET //a/%2e%2E/b%2Fc|d(e)\"? HTTP/1.0", "Connection: keep-alive", "Pragma: no-cache"),
	lines("GET /a|b(c)?d|e HTTP/1.1", "Host: a"),
	lines("GET /? HTTP/1.1", "Host: a", "Pragma: no-cache", "Connection: close, x", "Cookie: a", "Cookie: b"),
	lines("GET /chat HTTP/1.1", "Host: server.example.com", "Upgrade: websocket", "Connection: Upgrade"),
	lines("POST / HTTP/1.1", "Host: a", "Content-Length: 5", "Expect: 100-continue") + "hello",
	lines("POST / HTTP/1.1", "Host: a", "Content-Length: 5") + "hel",
	lines("POST / HTTP/1.1", "Host: a", "Content-Length: 0"),
	lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Trailer: Expires, x") + chunkSeeds[0],
	lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: CHUNKED") + chunkSeeds[1],
	lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + chunkSeeds[2],
	lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + "5;a=b\r\nhello\r\n0\r\n\r\n",
	lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + "5 \r\nhello\r\n0\r\n\r\n",
	lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + "0\r\nContent-Length: 3\r\n\r\n",
	lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + "0\r\nA: b\r\n c\r\n\r\n",
	lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + "0\r\nA: b\n\n",
}

var answerSeeds = []string{
	lines("HTTP/1.1 200 OK", "Date: Mon, 27 Jul 2009 12:28:53 GMT", "ETag: \"34aa387-d-1568eb00\"", "Content-Length: 5") + "hello",
	lines("HTTP/1.1 200 OK", "Connection: close, x", "Pragma: no-cache") + "until the end",
	lines("HTTP/1.0 200", "Connection: keep-alive", "Content-Length: 5") + "hello",
	lines("HTTP/1.1 204 No Content"),
	lines("HTTP/1.1 304 Not Modified", "Content-Length: 5"),
	lines("HTTP/1.1 100 Continue"),
	lines("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"),
	lines("HTTP/1.1 200 OK", "Set-Cookie: a", "set-cookie: b", "Transfer-Encoding: chunked", "Trailer: Expires") + chunkSeeds[0],
	lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunkSeeds[1],
}

var chunkSeeds = []string{
	"4\r\nWiki\r\n6\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nExpires: now\r\nx-a: b\r\nX-a:c\r\n\r\n",
	"0\r\n\r\n",
	"1\r\na\r\n00a\r\n0123456789\r\n000\r\n\r\n",
}
