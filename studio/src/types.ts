/** What the server tells: models, and predictions with the protocol's own field names. */

export type Kind = "text" | "image" | "audio" | "video";

export interface Model {
  id: string;
  title: string;
  task: string;
  description?: string;
  weak_at?: string;
  inputs: Kind[];
  outputs: string[];
  size_bytes?: number;
  default_for?: Kind[];
  url?: string;
}

export interface Parameter {
  name: string;
  type: string;
  default: string;
  description: string;
}

export interface Box {
  top_row?: number;
  left_col?: number;
  bottom_row?: number;
  right_col?: number;
}

export interface Concept {
  name: string;
  value?: number;
}

export interface Region {
  region_info?: { bounding_box?: Box; mask?: { image?: { base64?: string } } };
  data?: { concepts?: Concept[]; text?: { raw?: string } };
  value?: number;
}

export interface Data {
  text?: { raw?: string };
  image?: { base64?: string };
  audio?: { base64?: string };
  concepts?: Concept[];
  regions?: Region[];
  embeddings?: { vector?: number[] }[];
  frames?: { frame_info?: { time?: number }; data?: Data }[];
}

export interface Prediction {
  outputs?: { data?: Data }[];
  error?: { message?: string };
}

export interface Frame extends Prediction {
  index: number;
  time: number;
  latency: number;
}

export interface Failure {
  type: string;
  code: number | null;
  message: string;
}

export type Message =
  | { text: string }
  | { frame: Frame }
  | { done: { prompt_tokens: number; completion_tokens: number } }
  | { error: Failure }
  | { heartbeat: true }
  | Prediction;
