// These examples talk to the sandbox; the gateway itself needs no GatewayURL
// and a real key.

package pixazo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"time"

	"pixazo-mcp/pixazo"
	"pixazo-mcp/pixazo/sandbox"
)

// newClient returns a client of a sandbox of its own.
func newClient() (client *pixazo.Client, end func()) {
	emulator := sandbox.New(sandbox.Options{Duration: 10 * time.Millisecond})
	gateway := httptest.NewServer(emulator)
	client, err := pixazo.NewClient(pixazo.Config{
		GatewayURL: gateway.URL,
		Key:        func() (pixazo.Key, error) { return pixazo.NewKey("any-will-do") },
	})
	if err != nil {
		panic(err)
	}
	return client, func() { gateway.Close(); emulator.Close() }
}

func ExampleClient_Submit() {
	client, end := newClient()
	defer end()
	p, err := client.Prepare(pixazo.VideoRequest{Prompt: "A tour of Oslo in 30 seconds.", Orientation: "landscape"})
	if err != nil {
		fmt.Println(err)
		return
	}
	job, err := client.Submit(context.Background(), p, pixazo.SubmitOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.Status, job.RequestID != "")
	// Output: QUEUED true
}

// A submission may have been accepted though its answer was lost: such a one
// must not be made again without a look.
func ExampleClient_Submit_uncertain() {
	client, end := newClient()
	defer end()
	p, _ := client.Prepare(pixazo.VideoRequest{Prompt: "A tour of Oslo. sandbox:truncated"})
	_, err := client.Submit(context.Background(), p, pixazo.SubmitOptions{})
	if e, ok := errors.AsType[*pixazo.Error](err); ok {
		fmt.Println(e.Code, "names the request:", e.RequestID != "")
		fmt.Println("charged?", e.Code.Info().Charged)
	}
	// Output:
	// submission_uncertain names the request: true
	// charged? maybe
}

func ExampleClient_Status() {
	client, end := newClient()
	defer end()
	ctx := context.Background()
	p, _ := client.Prepare(pixazo.VideoRequest{Prompt: "A tour of Oslo. sandbox:finished"})
	job, err := client.Submit(ctx, p, pixazo.SubmitOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	job, err = client.Status(ctx, job.RequestID, pixazo.StatusOptions{PollingURL: job.PollingURL})
	fmt.Println(job.Status, job.Done(), len(job.VideoURLs), job.MediaType, err)
	// Output: COMPLETED true 1 video/mp4 <nil>
}

func ExampleClient_Ping() {
	client, end := newClient()
	defer end()
	fmt.Println(client.Ping(context.Background()))
	// Output: <nil>
}
