// Command hello is what the images of the end-to-end tests run: a web server
// that needs nothing else in its image.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net"
	"os"
)

func main() {
	l, err := net.Listen("tcp", ":"+cmp.Or(os.Getenv("PORT"), "80"))
	if err != nil {
		log.Fatal(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go answer(c)
	}
}

// answer sends the greeting to whatever was asked. It reads the head of the
// request first: to close a connection with bytes unread resets it.
func answer(c net.Conn) {
	defer c.Close()
	if _, err := c.Read(make([]byte, 4096)); err != nil {
		return
	}
	text := greeting()
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
}

// greeting is the content of /greeting if the image has such a file, and of the
// variable GREETING if not.
func greeting() string {
	if text, err := os.ReadFile("/greeting"); err == nil {
		return string(text)
	}
	return os.Getenv("GREETING") + "\n"
}
