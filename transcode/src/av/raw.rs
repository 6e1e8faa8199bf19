//! The `unsafe` lines: what the safe API of `ffmpeg-next` has no word for.

use ffmpeg_next::ffi;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{codec, frame};

/// Tells an H.264 decoder, before its first unit, how many pictures it must hold back to put them in order.
pub(super) fn set_reorder(context: &mut codec::Context, pictures: i32) {
    // SAFETY: the context is a live AVCodecContext that `&mut` borrows alone, and the field is a plain int which
    // libavcodec/h264_slice.c reads as the least it holds back.
    unsafe { (*context.as_mut_ptr()).has_b_frames = pictures };
}

/// How many pictures an opened encoder holds back to put B pictures in decode order.
pub(super) fn reorder(context: &codec::Context) -> usize {
    // SAFETY: the context is a live AVCodecContext; the field is a plain int that does not change once opened.
    let pictures = unsafe { (*context.as_ptr()).has_b_frames };
    usize::try_from(pictures).unwrap_or(0)
}

/// What an opened encoder has to say before its first unit (with `AV_CODEC_FLAG_GLOBAL_HEADER`).
pub(super) fn extradata(context: &codec::Context) -> Vec<u8> {
    // SAFETY: extradata points at extradata_size bytes, which the context owns as long as it lives (avcodec.h); they
    // are copied before the borrow ends.
    unsafe {
        let context = context.as_ptr();
        match usize::try_from((*context).extradata_size) {
            Ok(len) if len > 0 && !(*context).extradata.is_null() => {
                std::slice::from_raw_parts((*context).extradata, len).to_vec()
            }
            _ => Vec::new(),
        }
    }
}

/// Says how many samples a second a stream has; libavformat refuses to begin without it.
pub(super) fn set_sample_rate(parameters: &mut codec::Parameters, rate: i32) {
    // SAFETY: live AVCodecParameters that `&mut` borrows alone; the field is a plain int.
    unsafe { (*parameters.as_mut_ptr()).sample_rate = rate };
}

/// Lets `view` share the pixels of `picture` by count, as an encoder is given them: at `time`, its type left to the
/// encoder (the source's would be taken as a wish), and without the side data a stranger may have put in.
pub(super) fn share(view: &mut frame::Video, picture: &frame::Video, time: i64) -> bool {
    // SAFETY: both are live AVFrames. `view` is emptied first, as av_frame_ref demands; it then holds its own counted
    // references to the buffers, so they outlive whichever frame is dropped first. Nobody writes to shared pixels:
    // pictures are handed out as `Arc` without a mutable way in.
    unsafe {
        let view = view.as_mut_ptr();
        ffi::av_frame_unref(view);
        if ffi::av_frame_ref(view, picture.as_ptr()) < 0 {
            return false;
        }
        for _ in 0..(*view).nb_side_data {
            if (*view).nb_side_data == 0 {
                break;
            }
            ffi::av_frame_remove_side_data(view, (**(*view).side_data).type_);
        }
        (*view).pts = time;
        (*view).pict_type = ffi::AVPictureType::AV_PICTURE_TYPE_NONE;
        (*view).key_frame = 0;
    }
    true
}

/// Drops what `view` shares, so that the pixels can be used again.
pub(super) fn release(view: &mut frame::Video) {
    // SAFETY: a live AVFrame; unreferencing an empty one is allowed.
    unsafe { ffi::av_frame_unref(view.as_mut_ptr()) };
}

/// Carries colour and proportions over from one picture to another of another size.
pub(super) fn copy_properties(to: &mut frame::Video, from: &frame::Video) {
    // SAFETY: two live AVFrames of which one is borrowed mutably; plain fields only.
    unsafe {
        let (to, from) = (&mut *to.as_mut_ptr(), &*from.as_ptr());
        to.sample_aspect_ratio = from.sample_aspect_ratio;
        to.color_range = from.color_range;
        to.color_primaries = from.color_primaries;
        to.color_trc = from.color_trc;
        to.colorspace = from.colorspace;
        to.chroma_location = from.chroma_location;
    }
}

/// Scales `from` into the rectangle of `to` whose left upper corner is `left`, `top` (even) and whose size is the one
/// `context` was made for. False, and nothing written, when that is not within `to`.
pub(super) fn scale_into(
    context: &mut scaling::Context,
    from: &frame::Video,
    to: &mut frame::Video,
    left: usize,
    top: usize,
) -> bool {
    let (input, output) = (*context.input(), *context.output());
    let is_same = (from.format(), from.width(), from.height()) == (input.format, input.width, input.height);
    let fits = to.format() == output.format
        && output.format == ffmpeg_next::format::Pixel::YUV420P
        && left + output.width as usize <= to.width() as usize
        && top + output.height as usize <= to.height() as usize;
    if !is_same || !fits {
        return false;
    }
    let offsets =
        [top * to.stride(0) + left, top / 2 * to.stride(1) + left / 2, top / 2 * to.stride(2) + left / 2];
    // SAFETY: the context's input is the shape of `from` and its output a rectangle inside `to`, both checked above.
    // `to` is yuv420p, so plane 0 has one byte a pixel and planes 1 and 2 one byte for two in either direction: with
    // even offsets each of the three pointers begins that same rectangle. The arrays have four entries, as swscale
    // reads them; the fourth is null and of stride 0.
    unsafe {
        let (from, to) = (&*from.as_ptr(), &mut *to.as_mut_ptr());
        let sources = [
            from.data[0].cast_const(),
            from.data[1].cast_const(),
            from.data[2].cast_const(),
            from.data[3].cast_const(),
        ];
        let targets = [
            to.data[0].add(offsets[0]),
            to.data[1].add(offsets[1]),
            to.data[2].add(offsets[2]),
            std::ptr::null_mut(),
        ];
        ffi::sws_scale(
            context.as_mut_ptr(),
            sources.as_ptr(),
            from.linesize.as_ptr(),
            0,
            input.height as i32,
            targets.as_ptr(),
            to.linesize.as_ptr(),
        ) > 0
    }
}
