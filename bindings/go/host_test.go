package bpos_test

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/brotherpos/bpos/bindings/go"
)

func TestTheStoreIsOneLevelBelowTheDomain(t *testing.T) {
	for host, expected := range map[string]string{
		"yourstore.brotherpos.ca":                  "yourstore",
		"YourStore.BrotherPOS.ca":                  "yourstore",
		"yourstore.brotherpos.ca:443":              "yourstore",
		"yourstore.brotherpos.ca:":                 "yourstore",
		"yourstore.brotherpos.ca.":                 "yourstore",
		"YOURSTORE.brotherpos.ca.:65535":           "yourstore",
		"your-store_2.brotherpos.ca":               "your-store_2",
		strings.Repeat("s", 63) + ".brotherpos.ca": strings.Repeat("s", 63),

		"":                                         "",
		".":                                        "",
		":443":                                     "",
		"yourstore":                                "",
		"brotherpos.ca":                            "",
		".brotherpos.ca":                           "",
		"..brotherpos.ca":                          "",
		"eu.yourstore.brotherpos.ca":               "",
		"yourstore..brotherpos.ca":                 "",
		"yourstore.brotherpos.ca..":                "",
		"yourstore.example.com":                    "",
		"yourstore.notbrotherpos.ca":               "",
		"yourstore-brotherpos.ca":                  "",
		"yourstore.brotherpos.ca.evil.x":           "",
		"127.0.0.1:8080":                           "",
		"[::1]":                                    "",
		"[::1]:8080":                               "",
		"[yourstore.brotherpos.ca]":                "",
		"user@yourstore.brotherpos.ca":             "",
		"user:1@yourstore.brotherpos.ca":           "",
		"yourstore.brotherpos.ca:https":            "",
		"yourstore.brotherpos.ca:123456":           "",
		"yourstore.brotherpos.ca:80:80":            "",
		"your store.brotherpos.ca":                 "",
		"your\x00store.brotherpos.ca":              "",
		"caf\u00e9.brotherpos.ca":                  "",
		"\u212aeys.brotherpos.ca":                  "", // a Kelvin sign, whose lower case is k
		"yourstore.brotherpo\u017f.ca":             "", // a long s, whose capital is S
		"yourstore.brotherpos.ca/x":                "",
		strings.Repeat("s", 64) + ".brotherpos.ca": "",
	} {
		request := &http.Request{Host: host}
		if found := bpos.StoreOfHost(request, "brotherpos.ca"); found != expected {
			t.Errorf("%q names the store %q; expected %q", host, found, expected)
		}
	}
	if found := bpos.StoreOfHost(&http.Request{Host: "yourstore."}, ""); found != "" {
		t.Errorf("without a domain the store is %q", found)
	}
	if found := bpos.StoreOfHost(&http.Request{Host: "yourstore.brotherpos.ca"}, "BrotherPOS.ca"); found != "yourstore" {
		t.Errorf("below a domain in capitals the store is %q", found)
	}
}

func TestAnotherHostInAHeaderLeavesNoStore(t *testing.T) {
	for what, attempt := range map[string]struct {
		headers []string
		store   string
	}{
		"none":              {nil, "yourstore"},
		"the same":          {[]string{"YourStore.brotherpos.ca"}, "yourstore"},
		"with a port":       {[]string{"yourstore.brotherpos.ca:443"}, "yourstore"},
		"another":           {[]string{"otherstore.brotherpos.ca"}, ""},
		"two":               {[]string{"yourstore.brotherpos.ca", "otherstore.brotherpos.ca"}, ""},
		"an empty one":      {[]string{""}, ""},
		"that is not one":   {[]string{"yourstore.brotherpos.ca:x"}, ""},
		"of another domain": {[]string{"yourstore.example.com"}, ""},
	} {
		request := &http.Request{Host: "yourstore.brotherpos.ca", Header: http.Header{"Host": attempt.headers}}
		if found := bpos.StoreOfHost(request, "brotherpos.ca"); found != attempt.store {
			t.Errorf("%s: the store is %q; expected %q", what, found, attempt.store)
		}
	}
}

// The host arrives in :authority, in capitals and with a port.
func TestAnHTTP2RequestFindsItsStore(t *testing.T) {
	registry := memory(t)
	key := create(t, registry, bpos.KeySpec{})
	ofHost := func(request *http.Request) string { return bpos.StoreOfHost(request, "brotherpos.ca") }
	server := httptest.NewUnstartedServer(registry.Middleware(ofHost)(http.HandlerFunc(shop)))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()

	for _, attempt := range []struct {
		host   string
		status int
	}{
		{"YourStore.brotherpos.ca:8443", 200},
		{"yourstore.brotherpos.ca.", 200},
		{"otherstore.brotherpos.ca", 401},
		{"yourstore.example.com", 401},
		{strings.TrimPrefix(server.URL, "https://"), 401},
	} {
		request, err := http.NewRequest("GET", server.URL+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = attempt.host
		request.Header.Set("X-API-Key", key.Secret.Expose())
		answer, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.ProtoMajor != 2 || answer.StatusCode != attempt.status {
			t.Errorf("%s: found %s %d %s, %v; expected HTTP/2.0 %d", attempt.host, answer.Proto, answer.StatusCode, body, err,
				attempt.status)
		}
	}
}

// A client's own frames, since Go's client sends no Host header beside the :authority.
func TestAHostHeaderBesideTheAuthorityOfHTTP2IsSeen(t *testing.T) {
	stores := make(chan string, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		stores <- bpos.StoreOfHost(request, "brotherpos.ca")
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()

	const mine, other = "yourstore.brotherpos.ca", "otherstore.brotherpos.ca"
	for _, attempt := range []struct {
		hosts []string // names and values
		store string
	}{
		{[]string{":authority", mine}, "yourstore"},
		{[]string{":authority", mine, "host", mine}, "yourstore"},
		{[]string{"host", mine}, "yourstore"},
		{[]string{":authority", mine, "host", other}, ""},
		{[]string{"host", mine, "host", other}, ""},
	} {
		config := server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		config.NextProtos = []string{"h2"}
		connection, err := tls.Dial("tcp", server.Listener.Addr().String(), config)
		if err != nil {
			t.Fatal(err)
		}
		fields := append([]string{":method", "GET", ":scheme", "https", ":path", target}, attempt.hosts...)
		if _, err := connection.Write(frames(fields)); err != nil {
			t.Fatal(err)
		}
		if store := <-stores; store != attempt.store {
			t.Errorf("%q name the store %q; expected %q", attempt.hosts, store, attempt.store)
		}
		connection.Close()
	}
}

// frames is a connection's preface, its empty settings, and a request without a body (RFC 9113, sections 3.4, 4.1, 6.2),
// whose fields are literals that are not indexed (RFC 7541, section 6.2.2).
func frames(fields []string) []byte {
	const settings, headers, endStreamAndHeaders = 4, 1, 0x05
	var block []byte
	for i, text := range fields {
		if i%2 == 0 {
			block = append(block, 0)
		}
		block = append(append(block, byte(len(text))), text...)
	}
	wire := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00")
	wire = append(wire, settings, 0, 0, 0, 0, 0)
	wire = append(binary.BigEndian.AppendUint32(wire, uint32(len(block)<<8|headers)), endStreamAndHeaders, 0, 0, 0, 1)
	return append(wire, block...)
}
