/** Tasks in the order in which they are listed, by the protocol's names. */

const TITLES: [RegExp, string][] = [
  [/^text-to-text/, "Answer and write"],
  [/^multimodal/, "Ask about a picture"],
  [/^visual-classifier/, "Name what a picture shows"],
  [/^visual-detector/, "Find objects in pictures"],
  [/^(visual|image)-segment/, "Cut out of pictures"],
  [/^(image-to-text|optical|ocr)/, "Read and describe pictures"],
  [/^text-to-image/, "Draw"],
  [/^image-to-image/, "Enlarge pictures"],
  [/^video/, "Find objects in videos"],
  [/^text-to-audio/, "Speak"],
  [/^audio-to-text/, "Write down speech"],
  [/^text-classifier/, "Sort texts"],
  [/embedder/, "Vectors"],
];
const OTHERS = "Others";

export const ORDER = [...new Set(TITLES.map(([, title]) => title)), OTHERS];

export function taskOf(modelType: string): string {
  return TITLES.find(([pattern]) => pattern.test(modelType))?.[1] ?? OTHERS;
}
