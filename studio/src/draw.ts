/** Boxes and masks over a picture, a video or a camera. */

import type { Data, Region } from "./types";

const COLOURS = ["#ff6b6b", "#4dabf7", "#51cf66", "#fcc419", "#cc5de8", "#ff922b", "#20c997", "#f06595", "#94d82d", "#5c7cfa"];

export function colourOf(name: string): string {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.charCodeAt(0)) >>> 0;
  return COLOURS[sum % COLOURS.length]!;
}

export const nameOf = (region: Region) => region.data?.concepts?.[0]?.name ?? region.data?.text?.raw ?? "";
export const valueOf = (region: Region) => region.value ?? region.data?.concepts?.[0]?.value ?? 1;
export const boxed = (region: Region) => region.region_info?.bounding_box !== undefined;
export const maskOf = (region: Region) => region.region_info?.mask?.image?.base64;

export interface Shown {
  boxes: boolean;
  masks: boolean;
  least: number;
}

/** Decode the masks of an answer, tinted by what they are of. */
export async function masksOf(data: Data): Promise<Map<Region, HTMLCanvasElement>> {
  const found = new Map<Region, HTMLCanvasElement>();
  for (const region of data.regions ?? []) {
    const encoded = maskOf(region);
    if (!encoded) continue;
    const picture = await bitmap(`data:image/png;base64,${encoded}`);
    const canvas = document.createElement("canvas");
    canvas.width = picture.width;
    canvas.height = picture.height;
    const context = canvas.getContext("2d", { willReadFrequently: true })!;
    context.drawImage(picture, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    const tint = colourOf(nameOf(region));
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(tint.slice(at, at + 2), 16));
    for (let at = 0; at < pixels.data.length; at += 4) {
      const share = pixels.data[at]!;
      pixels.data.set([red!, green!, blue!, share * 0.55], at);
    }
    context.putImageData(pixels, 0, 0);
    found.set(region, canvas);
  }
  return found;
}

async function bitmap(url: string): Promise<HTMLImageElement> {
  const picture = new Image();
  picture.src = url;
  await picture.decode();
  return picture;
}

/** Draw regions over what the canvas lies on; it has the size of that, and the density of the screen. */
export function draw(
  canvas: HTMLCanvasElement, regions: Region[], shown: Shown, masks: Map<Region, HTMLCanvasElement> = new Map(),
): void {
  const density = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  const context = canvas.getContext("2d")!;
  context.scale(density, density);
  const kept = regions.filter((region) => valueOf(region) >= shown.least);
  if (shown.masks) for (const region of kept) if (masks.has(region)) context.drawImage(masks.get(region)!, 0, 0, width, height);
  if (!shown.boxes) return;
  context.font = "600 13px system-ui, sans-serif";
  context.textBaseline = "top";
  for (const region of kept) {
    const box = region.region_info?.bounding_box;
    if (!box) continue;
    const [left, top] = [(box.left_col ?? 0) * width, (box.top_row ?? 0) * height];
    const [right, bottom] = [(box.right_col ?? 1) * width, (box.bottom_row ?? 1) * height];
    const name = nameOf(region);
    const label = `${name} ${valueOf(region).toFixed(2)}`;
    context.strokeStyle = context.fillStyle = colourOf(name);
    context.lineWidth = 2.5;
    context.strokeRect(left, top, right - left, bottom - top);
    const wide = context.measureText(label).width + 8;
    const above = top >= 18 ? top - 18 : top;
    context.fillRect(left - 1, above, wide, 18);
    context.fillStyle = "#111";
    context.fillText(label, left + 3, above + 3);
  }
}
