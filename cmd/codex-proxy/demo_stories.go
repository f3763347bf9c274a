package main

import (
	"bytes"
	"embed"
	"encoding/base64"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"strings"
)

// demoFiles are the sample conversations, and what Codex sends before each.
//
//go:embed demo
var demoFiles embed.FS

// demoFile reads one of them, with words in place of the names in {{braces}}, which
// words may have in them again.
func demoFile(name string, words *strings.Replacer) string {
	text, err := fs.ReadFile(demoFiles, "demo/"+name)
	if err != nil {
		panic(err) // it is part of the program
	}
	return words.Replace(words.Replace(string(text)))
}

// line is a part of a story: what somebody says or does.
type line struct {
	// kind is user, output, think, say, run or patch, and head what stands beside it:
	// the command that is run, how many seconds it took and how it ended.
	kind, head string
	text       string
}

// scene is one exchange of a story: what is new in the request, and the answer.
type scene struct {
	asked, said []line
}

// byUser reports whether the scene begins with the developer's own words.
func (s scene) byUser() bool { return s.asked[0].kind == "user" }

// readStory reads the story of a name. A line begins with "== " and its kind.
func readStory(name string, words *strings.Replacer) []scene {
	var scenes []scene
	for _, part := range strings.Split("\n"+demoFile(name+".txt", words), "\n== ")[1:] {
		title, text, _ := strings.Cut(part, "\n")
		kind, head, _ := strings.Cut(title, " ")
		l := line{kind, head, text}
		last := len(scenes) - 1
		switch {
		case kind != "user" && kind != "output":
			scenes[last].said = append(scenes[last].said, l)
		case last < 0 || len(scenes[last].said) > 0:
			scenes = append(scenes, scene{asked: []line{l}})
		default:
			scenes[last].asked = append(scenes[last].asked, l)
		}
	}
	return scenes
}

// secretWords are the secrets in the stories: made up, and in two pieces, so that
// nobody's scanner takes this file for a leak. Which of them a story shows depends on
// the team.
var secretWords = map[string][]string{
	"platform": {
		"{{aws-key}}", "AKIA" + "Z7QX4LMVTR2NWK3D", "{{aws-secret}}", "9xQ2mVtR7LbZk3W8yHf5" + "NpDs1GcJ6uEaT4XoBrKq",
		"{{remote}}", "https://x-access-token:ghp_" + "R7tQ2mXv9LbZk3W8yHf5NpDs1GcJ6u0aT4Xo@github.com/example/{{repo}}.git",
	},
	"payments": {
		"{{aws-key}}", "AKIA" + "T3MWQ7XKZ5LVR4ND", "{{aws-secret}}", "b4TzX9kQ2mVtR7LwNpDs" + "8yHf51GcJ6uEaZk3WoBr",
		"{{database-url}}", "postgres://report:Vq7R" + "tN2xLm9KwZ@db.internal:5432/{{thing}}",
		"{{smtp-password}}", "Rk7-basalt-" + "plover-29", "{{remote}}", "git@github.com:example/{{repo}}.git",
	},
	"research": {"{{remote}}", "git@github.com:example/{{repo}}.git"},
}

// chart is the picture in a prompt: bars that become half as high, as a PNG in a data
// URL.
func chart() string {
	const width, height, bar = 480, 220, 32
	picture := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{
		color.White, color.Gray{Y: 0xdd}, color.RGBA{R: 0x8a, G: 0x94, B: 0xa6, A: 0xff}, color.RGBA{R: 0x1f, G: 0x7a, B: 0x5c, A: 0xff},
	})
	fill := func(area image.Rectangle, with uint8) {
		for y := area.Min.Y; y < area.Max.Y; y++ {
			for x := area.Min.X; x < area.Max.X; x++ {
				picture.SetColorIndex(x, y, with)
			}
		}
	}
	for y := 20; y < height; y += 45 {
		fill(image.Rect(16, y, width-16, y+1), 1)
	}
	for i, p95 := range []int{415, 428, 409, 431, 420, 214, 209, 216, 206, 211} { // milliseconds
		x, shade := 26+i*(bar+12), uint8(2)
		if p95 < 300 {
			shade = 3
		}
		fill(image.Rect(x, height-20-p95*180/450, x+bar, height-20), shade)
	}
	var encoded bytes.Buffer
	if err := png.Encode(&encoded, picture); err != nil {
		panic(err) // a picture in memory
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(encoded.Bytes())
}
