// Says what upstream's Pod Security checks make of upstream's own test pods: one JSON line a pod, with
// what is forbidden from which version of a level on. Run by record.ts; no part of the product.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

const versions = 37

type change struct {
	Minor   int    `json:"minor"`
	Details string `json:"details"`
}

type line struct {
	Pod        json.RawMessage `json:"pod"`
	Baseline   []change        `json:"baseline"`
	Restricted []change        `json:"restricted"`
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func judge(e policy.Evaluator, level api.Level, pod *corev1.Pod) (changes []change) {
	for minor := 0; minor < versions; minor++ {
		lv := api.LevelVersion{Level: level, Version: api.MajorMinorVersion(1, minor)}
		result := policy.AggregateCheckResults(e.EvaluatePod(lv, &pod.ObjectMeta, &pod.Spec))
		details := result.ForbiddenDetail()
		if n := len(changes); n == 0 || changes[n-1].Details != details {
			changes = append(changes, change{minor, details})
		}
	}
	return changes
}

func main() {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	check(err)
	files, err := filepath.Glob(filepath.Join(os.Args[1], "*/*/*/*.yaml"))
	check(err)
	pods := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		check(err)
		pod, err := yaml.YAMLToJSON(text)
		check(err)
		pods[string(pod)] = true
	}
	sorted := make([]string, 0, len(pods))
	for text := range pods {
		sorted = append(sorted, text)
	}
	sort.Strings(sorted)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for _, text := range sorted {
		pod := &corev1.Pod{}
		check(json.Unmarshal([]byte(text), pod))
		check(out.Encode(line{
			Pod:        json.RawMessage(text),
			Baseline:   judge(evaluator, api.LevelBaseline, pod),
			Restricted: judge(evaluator, api.LevelRestricted, pod),
		}))
	}
}
