// Answers what upstream's own decoders and patches make of bodies: one JSON request a line on standard
// input, one answer a line on standard output. Run by record-answers.ts; no part of the product.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	jsonser "k8s.io/apimachinery/pkg/runtime/serializer/json"
	protoser "k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
)

type request struct {
	Group, Version, Kind string
	// A body to decode or, with Patch, an object to patch.
	Text  string
	Patch string
}

type answer struct {
	Error    string `json:"error,omitempty"`
	Strict   bool   `json:"strict,omitempty"`
	JSON     string `json:"json,omitempty"`
	Protobuf string `json:"protobuf,omitempty"`
}

func decode(r request, gvk schema.GroupVersionKind) (a answer) {
	s := scheme.Scheme
	options := jsonser.SerializerOptions{Strict: true}
	codec := jsonser.NewSerializerWithOptions(jsonser.DefaultMetaFactory, s, s, options)
	object, _, err := codec.Decode([]byte(r.Text), &gvk, nil)
	if err != nil {
		a.Error = err.Error()
		a.Strict = runtime.IsStrictDecodingError(err)
	}
	if object == nil {
		return a
	}
	object.GetObjectKind().SetGroupVersionKind(gvk)
	if text, err := runtime.Encode(codec, object); err == nil {
		a.JSON = string(text)
	}
	if bytes, err := runtime.Encode(protoser.NewSerializer(s, s), object); err == nil {
		a.Protobuf = base64.StdEncoding.EncodeToString(bytes)
	}
	return a
}

func patch(r request, gvk schema.GroupVersionKind) (a answer) {
	typed, err := scheme.Scheme.New(gvk)
	if err != nil {
		return answer{Error: err.Error()}
	}
	result, err := strategicpatch.StrategicMergePatch([]byte(r.Text), []byte(r.Patch), typed)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{JSON: string(result)}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<24), 1<<24)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			panic(err)
		}
		gvk := schema.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind}
		a := answer{}
		if r.Patch == "" {
			a = decode(r, gvk)
		} else {
			a = patch(r, gvk)
		}
		text, err := json.Marshal(a)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(text))
	}
}
