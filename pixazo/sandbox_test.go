// These tests hold the client against the emulator, which was written from the
// same documents by other hands.

package pixazo_test

import (
	"errors"
	"strings"
	"testing"

	"pixazo-mcp/pixazo"
)

func TestRefusalsOfTheSandboxAreTold(t *testing.T) {
	client, end := newClient()
	t.Cleanup(end)
	for script, want := range map[string]struct {
		code  pixazo.Code
		words string
	}{
		"400":           {pixazo.InvalidArgument, `"the video agent rejected the request"`},
		"401":           {pixazo.Unauthorized, "refused the API key"},
		"402":           {pixazo.OutOfCredits, `"insufficient credits"`},
		"403":           {pixazo.Unauthorized, "does not cover this API"},
		"403-credits":   {pixazo.OutOfCredits, "top up your balance"},
		"404":           {pixazo.GatewayError, "address is wrong"},
		"422":           {pixazo.InvalidArgument, "avatar_id does not exist"},
		"error-object":  {pixazo.InvalidArgument, `"the avatar does not exist (code avatar_not_found, param avatar_id)"`},
		"error-list":    {pixazo.InvalidArgument, `"body.prompt: the prompt is too vague"`},
		"error-message": {pixazo.InvalidArgument, `"Bad Request; the voice does not speak"`},
		"redirect":      {pixazo.GatewayError, "redirect"},
		"500":           {pixazo.SubmissionUncertain, "internal server error"},
		"drop-before":   {pixazo.SubmissionUncertain, "connection closed"},
		"drop-after":    {pixazo.SubmissionUncertain, "connection closed"},
		"html":          {pixazo.SubmissionUncertain, "not the documented JSON"},
		"truncated":     {pixazo.SubmissionUncertain, "heygen-video-agent_"},
		"oversized":     {pixazo.SubmissionUncertain, "heygen-video-agent_"},
		"429-accepted":  {pixazo.SubmissionUncertain, "heygen-video-agent_"},
		"500-accepted":  {pixazo.SubmissionUncertain, "heygen-video-agent_"},
		"429":           {"", ""},
		"finished":      {"", ""},
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			p, err := client.Prepare(pixazo.VideoRequest{Prompt: "A tour of Oslo. sandbox:" + script})
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Submit(t.Context(), p, pixazo.SubmitOptions{})
			e, ok := errors.AsType[*pixazo.Error](err)
			switch {
			case want.code == "" && err == nil:
			case !ok || e.Code != want.code || !strings.Contains(e.Message+" "+e.RequestID, want.words):
				t.Errorf("got %v, want %s with %s", err, want.code, want.words)
			}
		})
	}
}

func TestExtrasOfTheSandboxAreRead(t *testing.T) {
	client, end := newClient()
	defer end()
	p, err := client.Prepare(pixazo.VideoRequest{Prompt: "A tour of Oslo. sandbox:extras"})
	if err != nil {
		t.Fatal(err)
	}
	job, err := client.Submit(t.Context(), p, pixazo.SubmitOptions{})
	for err == nil && !job.Done() { // 10 ms
		job, err = client.Status(t.Context(), job.RequestID, pixazo.StatusOptions{})
	}
	if err != nil || len(job.VideoURLs) != 1 || job.MediaType != "video/mp4" || job.DurationSeconds != 5 {
		t.Errorf("%+v, error %v", job, err)
	}
	for _, u := range append(job.VideoURLs, job.ThumbnailURL, job.SubtitleURL, job.CaptionedVideoURL) {
		if !strings.HasPrefix(u, client.Origin()+"/media/"+job.RequestID+"/") {
			t.Errorf("URL %q", u)
		}
	}
}
