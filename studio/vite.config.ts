import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    outDir: "../src/headrace/web/studio/dist",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the policy allows no inline scripts, styles or fonts
    modulePreload: false,
    rollupOptions: {
      output: {
        entryFileNames: "assets/studio-[hash].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/studio-[hash][extname]",
      },
    },
  },
});
