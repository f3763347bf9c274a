package openai_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"codex-proxy/internal/openai"
)

func TestInputIsEstimatedFromItsText(t *testing.T) {
	image := "data:image/png;base64," + strings.Repeat("iVBORw0K", 50_000)
	for name, test := range map[string]struct {
		body   string
		tokens int64
	}{
		"text":              {`{"instructions":"12345678","input":[{"role":"user","text":"1234"}],"n":1234567}`, 4},
		"escapes":           {`{"input":"1\"3\n"}`, 1},
		"responses image":   {`{"input":[{"image_url":"` + image + `"}]}`, openai.MediaTokens},
		"chat image":        {`{"content":[{"image_url":{"url":"` + image + `"}},{"text":"1234"}]}`, openai.MediaTokens + 1},
		"image elsewhere":   {`{"image_url":{"url":"https://example.com/a.png"}}`, openai.MediaTokens},
		"file":              {`{"input":[{"file_data":"` + strings.Repeat("JVBER", 1000) + `"}]}`, openai.MediaTokens},
		"sound":             {`{"input_audio":{"data":"` + strings.Repeat("UklGR", 1000) + `"},"data":"12345678"}`, openai.MediaTokens + 2},
		"encrypted content": {`{"encrypted_content":"` + strings.Repeat("gAAAA", 1000) + `","text":"1234"}`, 1},
		"cut":               {`{"input":"` + strings.Repeat("1234", 100), 100},
		"cut image":         {`{"input":"1234","image_url":"` + image[:1000], openai.MediaTokens + 1},
		"nothing":           {``, 0},
		"no JSON":           {"\x1f\x8b\x08", 0},
	} {
		for reading, r := range map[string]io.Reader{
			"whole": strings.NewReader(test.body),
			"bytes": iotest.OneByteReader(strings.NewReader(test.body)),
		} {
			if tokens, err := openai.EstimateInput(r); tokens != test.tokens || err != nil {
				t.Errorf("%s, %s: %d tokens, %v, want %d", name, reading, tokens, err, test.tokens)
			}
		}
	}
}

func TestAnEstimateCutByAnErrorIsOfWhatWasRead(t *testing.T) {
	broken := errors.New("disk on fire")
	r := io.MultiReader(strings.NewReader(`{"input":"12345678`), iotest.ErrReader(broken))
	if tokens, err := openai.EstimateInput(r); tokens != 2 || !errors.Is(err, broken) {
		t.Errorf("%d tokens, %v", tokens, err)
	}
}

func TestOutputIsEstimatedAtFourBytesAToken(t *testing.T) {
	for bytes, want := range map[int64]int64{0: 0, 1: 1, 4: 1, 5: 2, -3: 0} {
		if got := openai.EstimateOutput(bytes); got != want {
			t.Errorf("EstimateOutput(%d) = %d, want %d", bytes, got, want)
		}
	}
}
