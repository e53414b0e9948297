/** Sizes of boxes and of the room between them, in pixels. */
export const WIDTH = 216;
export const HEIGHT = 44;
export const GAP_X = 56;
export const GAP_Y = 12;
